import { spawn } from 'node:child_process'
import { chmodSync, mkdirSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { Durability, StoreAddress } from '../config.ts'
import { MillraceError } from '../errors.ts'
import { type Place, placeOf, type StoreName } from './place.ts'

/** The redis-servers take up to this long to say something new, however much data they load. */
const stuckMs = 30_000
/** redis-server writes out what it has; that is a matter of moments, but for a slow disk. */
const stopMs = 15_000
/** Between tries to be watched over again. */
const againMs = 2_000

export type ManagedOptions = {
  readonly dataDir: string
  readonly durability: Durability
  /** Told while the stores start, e.g. `queue store: loading its data, 40 %`. */
  readonly onProgress?: ((detail: string) => void) | undefined
  /** The compiled keeper. Default: beside this file. */
  readonly keeperFile?: string | undefined
}

/**
 * This process's claim on the managed stores of a DATA_DIR. The servers run while any claim lives; see keeper.ts.
 */
export class ManagedStores {
  readonly name = 'managed stores'
  readonly #options: ManagedOptions
  readonly #place: Place
  #socket: Socket | undefined
  #stopping = false

  constructor(options: ManagedOptions) {
    this.#options = options
    this.#place = placeOf(options.dataDir)
  }

  address(store: StoreName): StoreAddress {
    return { host: '', port: 0, path: this.#place.socket(store), db: 0 }
  }

  /** Resolves when both stores answer. Throws `store-not-started` with the server's own last words. */
  async start(): Promise<void> {
    mkdirSync(this.#options.dataDir, { recursive: true, mode: 0o700 })
    chmodSync(this.#options.dataDir, 0o700)
    this.#stopping = false
    await this.#claim()
  }

  /** Gives up the claim. When it was the last one, resolves after the servers have stopped, or at the deadline. */
  async stop(deadline: number = Date.now() + stopMs): Promise<void> {
    this.#stopping = true
    const socket = this.#socket
    if (!socket || socket.destroyed) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => socket.destroy(), Math.max(0, deadline - Date.now()))
      socket.once('close', () => {
        clearTimeout(timer)
        resolve()
      })
      socket.end()
    })
  }

  async #claim(): Promise<void> {
    let last = 'no keeper answers'
    let deadline = Date.now() + stuckMs
    let spawned = 0
    while (Date.now() < deadline && !this.#stopping) {
      const socket = await connect(this.#place.keeperSocket)
      if (socket) {
        const outcome = await this.#untilReady(socket, (detail) => {
          if (detail !== last) deadline = Date.now() + stuckMs
          last = detail
        })
        if (outcome === 'ready' && this.#stopping) return void socket.end()
        if (outcome === 'ready') return this.#hold(socket)
        if (outcome === 'failed') throw new MillraceError('store-not-started', last)
      } else if (Date.now() - spawned > 1_000) {
        // The one that is there may be stopping; then ours finds the lock taken, ends, and is started again.
        spawned = Date.now()
        spawnKeeper(this.#options)
      }
      await new Promise((resolve) => setTimeout(resolve, 15))
    }
    if (this.#stopping) return
    throw new MillraceError('store-not-started', `${last}; see ${this.#place.keeperLog}`)
  }

  /** For as long as it takes: a disk that is full now may have room later. What is wrong meanwhile, readiness tells. */
  async #claimAgain(): Promise<void> {
    while (!this.#stopping) {
      try {
        return await this.#claim()
      } catch {
        await new Promise((resolve) => setTimeout(resolve, againMs))
      }
    }
  }

  #untilReady(socket: Socket, onDetail: (detail: string) => void): Promise<'ready' | 'gone' | 'failed'> {
    let text = ''
    let failures = 0
    return new Promise((resolve) => {
      const timer = setTimeout(() => finish('failed'), stuckMs)
      const finish = (outcome: 'ready' | 'gone' | 'failed') => {
        clearTimeout(timer)
        socket.removeAllListeners('data')
        if (outcome !== 'ready') socket.destroy()
        resolve(outcome)
      }
      socket.once('close', () => finish('gone'))
      socket.on('data', (chunk: Buffer) => {
        text += chunk
        const lines = text.split('\n')
        text = lines.pop() ?? ''
        for (const line of lines) {
          const message = JSON.parse(line) as { ready: boolean; detail?: string }
          if (message.ready) return finish('ready')
          onDetail(message.detail ?? '')
          this.#options.onProgress?.(message.detail ?? '')
          timer.refresh()
          // One death may be a leftover's; three in a row are a server that cannot start.
          if (message.detail?.includes('ends:') && ++failures >= 3) return finish('failed')
        }
      })
    })
  }

  /** A keeper that dies takes our claim with it: make it anew, so that the servers are watched over again. */
  #hold(socket: Socket): void {
    this.#socket = socket
    socket.removeAllListeners('close')
    socket.resume()
    socket.once('close', () => void this.#claimAgain())
  }
}

function connect(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection(path)
    socket.once('error', () => resolve(undefined))
    socket.once('connect', () => {
      socket.removeAllListeners('error')
      socket.on('error', () => socket.destroy())
      resolve(socket)
    })
  })
}

/** Detached, so that a terminal's Ctrl-C does not reach the stores before the work in hand is finished. */
function spawnKeeper({ dataDir, durability, keeperFile }: ManagedOptions): void {
  const file = keeperFile ?? fileURLToPath(new URL('./keeper.js', import.meta.url))
  const child = spawn(process.execPath, [file, dataDir, durability], { detached: true, stdio: 'ignore', cwd: dataDir })
  child.on('error', () => {}) // the claim loop ends at its deadline and says so
  child.unref()
}
