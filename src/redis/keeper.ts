import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import type { Durability } from '../config.ts'
import { renderConf } from './conf.ts'
import { type Place, placeOf, preparePlace, type StoreName, storeNames } from './place.ts'
import { probe } from './probe.ts'

/*
 * The keeper of the managed stores: a small process of its own, one for each DATA_DIR, that owns the two redis-servers.
 *
 *   — It runs them, and starts them again when they die.
 *   — A connection to its socket is a claim. The kernel closes it whichever way the claiming process ends, kill -9
 *     included, so "stopped with the last process" needs no bookkeeping that could be left behind.
 *   — When the last claim has gone it stops the servers, then itself.
 *   — When the keeper itself is killed, the servers go on; the next keeper adopts them.
 *
 * Two redis-servers on one append-only file would destroy it. So a keeper holds an address that only one process can
 * hold (on Linux an abstract socket, which the kernel frees at death), and never starts a server while another one
 * answers on the store's socket or lives under its pid file.
 */

/** A claimant that never comes must not leave servers running for ever. */
const firstClaimMs = 10_000
const restartMinMs = 50
const restartMaxMs = 5_000
const stopMs = 10_000

type State = { ready: boolean; detail: string }

class ManagedServer {
  readonly name: StoreName
  readonly #place: Place
  readonly #log: (line: string) => void
  #child: ChildProcess | undefined
  #pid = 0
  #stopping = false
  /** valkey-server, which is the same for us, where there is no redis-server. */
  #command = 'redis-server'
  #watch: Promise<void> | undefined
  state: State = { ready: false, detail: 'starting' }
  onChange: () => void = () => {}

  constructor(name: StoreName, place: Place, log: (line: string) => void) {
    this.name = name
    this.#place = place
    this.#log = log
  }

  start(): void {
    this.#watch ??= this.#keep()
  }

  /** SIGTERM lets redis-server write what it has; after the deadline it is killed, which its append-only file survives. */
  async stop(): Promise<void> {
    this.#stopping = true
    let isOver = false
    const over = (this.#watch ?? Promise.resolve()).then(() => {
      isOver = true
    })
    const deadline = Date.now() + stopMs
    // Again and again, because a server that is just being started or adopted has no pid yet.
    while (!isOver) {
      if (this.#pid) signal(this.#pid, Date.now() > deadline ? 'SIGKILL' : 'SIGTERM')
      await Promise.race([over, pause(50)])
    }
  }

  /** Start or adopt, watch, and again when it has died; the wait grows while it dies at once. */
  async #keep(): Promise<void> {
    let wait = restartMinMs
    while (!this.#stopping) {
      const began = Date.now()
      await this.#adoptOrSpawn()
      await this.#untilGone()
      if (this.#stopping) return
      wait = Date.now() - began > 10_000 ? restartMinMs : Math.min(wait * 2, restartMaxMs)
      this.#set({ ready: false, detail: this.#lastWords() })
      this.#log(`${this.name}: redis-server ${this.#pid} has gone; starting it again in ${wait} ms`)
      await pause(wait)
    }
  }

  async #adoptOrSpawn(): Promise<void> {
    const found = await probe(this.#place.socket(this.name))
    if (found.state === 'ready' || found.state === 'loading') {
      this.#pid = found.pid
      this.#log(`${this.name}: adopted redis-server ${this.#pid}`)
      return
    }
    if (this.#stopping && found.state === 'absent') return
    const left = pidFromFile(this.#place, this.name)
    if (left) {
      this.#pid = left
      if (found.state === 'silent') return // it hangs, but it is there: wait for it rather than start a second one
      this.#log(`${this.name}: redis-server ${left} runs without its socket; stopping it`)
      signal(left, 'SIGTERM')
      return
    }
    const child = spawn(this.#command, [this.#place.conf(this.name)], { stdio: 'ignore' })
    this.#child = child
    this.#pid = child.pid ?? 0
    child.on('error', (error) => {
      this.#log(`${this.name}: ${error.message}`)
      this.#command = this.#command === 'redis-server' ? 'valkey-server' : 'redis-server'
    })
    this.#log(`${this.name}: started ${this.#command} ${this.#pid}`)
  }

  /** Polls quickly until it is ready (a child's end is an event, an adopted one's is not), then watches at ease. */
  async #untilGone(): Promise<void> {
    const child = this.#child
    const gone =
      child &&
      new Promise<void>((resolve) =>
        (child.exitCode ?? child.signalCode) === null ? child.once('exit', () => resolve()) : resolve(),
      )
    while (this.#pid && isAlive(this.#pid) && !(child && (child.exitCode ?? child.signalCode) !== null)) {
      if (!this.state.ready && !this.#stopping) {
        const found = await probe(this.#place.socket(this.name))
        if (found.state === 'ready') this.#set({ ready: true, detail: 'ready' })
        else if (found.state === 'loading') this.#set({ ready: false, detail: found.detail })
      }
      await Promise.race([pause(this.state.ready ? 100 : 15), gone ?? pause(100)])
    }
    this.#child = undefined
    this.#pid = this.#stopping ? 0 : this.#pid
  }

  #set(state: State): void {
    this.state = state
    this.onChange()
  }

  /** The last line of the server's own log says best why it went. */
  #lastWords(): string {
    try {
      const lines = readFileSync(this.#place.log(this.name), 'utf8').trimEnd().split('\n')
      return `stopped; its log ${this.#place.log(this.name)} ends: ${lines.at(-1)}`
    } catch {
      return `does not start; no log at ${this.#place.log(this.name)}`
    }
  }
}

async function main(): Promise<void> {
  const place = placeOf(process.argv[2] ?? '')
  preparePlace(place)
  const log = (line: string) => {
    try {
      writeFileSync(
        place.keeperLog,
        `${new Date().toISOString()} ${line}
`,
        { flag: 'a' },
      )
    } catch {
      // A full disk: the servers matter more than a line about them.
    }
  }
  const lock = createServer((socket) => socket.destroy())
  const isMine = await listen(lock, place.lockAddress)
  if (!isMine) process.exit(3)
  log(`keeper ${process.pid} started`)

  for (const store of storeNames)
    writeConf(place.conf(store), renderConf(store, place, (process.argv[3] ?? 'always') as Durability), log)
  const servers = storeNames.map((name) => new ManagedServer(name, place, log))
  const claims = new Set<Socket>()
  const tell = (socket: Socket) => {
    const waiting = servers.find((server) => !server.state.ready)
    socket.write(
      `${JSON.stringify(waiting ? { ready: false, detail: `${waiting.name} store: ${waiting.state.detail}` } : { ready: true })}\n`,
    )
  }
  let stopping: Promise<void> | undefined
  const door = createServer({ allowHalfOpen: true }, (socket) => {
    claims.add(socket)
    socket.resume()
    tell(socket)
    socket.on('error', () => socket.destroy())
    socket.on('end', () => void leave(socket))
    socket.on('close', () => void leave(socket))
  })
  /** The last to leave is answered only when the servers have stopped, so that its own exit means "all is down". */
  const leave = async (socket: Socket) => {
    if (!claims.delete(socket)) return
    if (claims.size === 0) await stop('the last process has left')
    socket.end()
  }
  const stop = (why: string) => {
    stopping ??= (async () => {
      log(`stopping: ${why}`)
      door.close()
      rmSync(place.keeperSocket, { force: true })
      await Promise.all(servers.map((server) => server.stop()))
      for (const store of storeNames) rmSync(place.pid(store), { force: true })
      log('stopped')
      lock.close()
      setTimeout(() => process.exit(0), 100).unref()
    })()
    return stopping
  }
  for (const server of servers) {
    server.onChange = () => claims.forEach(tell)
    server.start()
  }
  // Left over from a keeper that was killed; the lock says that none lives.
  rmSync(place.keeperSocket, { force: true })
  await listen(door, place.keeperSocket)
  setTimeout(() => claims.size === 0 && void stop('nobody came'), firstClaimMs).unref()
  // A terminal's Ctrl-C is for the processes that use the stores; they leave when they have finished.
  process.on('SIGINT', () => {})
  process.on('SIGHUP', () => {})
  process.on('SIGTERM', () => void stop('SIGTERM'))
}

/** In one step: a full disk must not leave half a file behind. With an older one there the servers start all the same. */
function writeConf(path: string, text: string, log: (line: string) => void): void {
  try {
    writeFileSync(`${path}.new`, text, { mode: 0o600 })
    renameSync(`${path}.new`, path)
  } catch (error) {
    log(`${path} was not written: ${(error as Error).message}`)
  }
}

function listen(server: ReturnType<typeof createServer>, address: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(false) : reject(error),
    )
    server.listen(address, () => resolve(true))
  })
}

/** The pid in a store's pid file, if that process lives and was started with this store's configuration. */
function pidFromFile(place: Place, store: StoreName): number {
  try {
    const pid = Number(readFileSync(place.pid(store), 'utf8'))
    if (!pid || !isAlive(pid)) return 0
    if (process.platform !== 'linux') return pid
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
    // redis-server changes its title to "redis-server unixsocket:PATH". Numbers are used again: any other process, and any
    // other store's server, is none of ours.
    const isOurs = command.includes(`unixsocket:${place.socket(store)}`) || command.includes(place.conf(store))
    return /redis-server|valkey-server/.test(command) && isOurs ? pid : 0
  } catch {
    return 0
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    // Dead, but not yet collected by a parent that may never do so (an init-less container adopts orphans).
    return process.platform !== 'linux' || !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // it has gone already, which is what was wanted
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

await main()
