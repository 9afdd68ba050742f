import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createConnection, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Database, mayTryAgain, type Query, type Row, statementMs, unavailable } from './database.ts'
import { type EmbeddedPlace, embeddedPlace, folderInUse, prepareEmbeddedPlace } from './embedded-place.ts'
import { schemaVersion } from './migrations.ts'

/** It makes its files the first time, which took 5 s on a small machine; with more than this something is wrong. */
const openMs = 60_000
const againMs = 1_000
/** Closing writes out what it has. */
const closeMs = 10_000

type Waiting = { resolve(rows: readonly Row[]): void; reject(error: Error): void; timer: NodeJS.Timeout }
type Line = { id?: number; rows?: Row[]; error?: string; schema?: number; failed?: string }

/** The database in DATA_DIR, in a process that all processes of the DATA_DIR share; see embedded-process.ts. */
export class Embedded implements Database {
  readonly what = 'the embedded database'
  readonly #dataDir: string
  readonly #place: EmbeddedPlace
  readonly #entry: string
  #socket: Promise<Socket> | undefined
  #waiting = new Map<number, Waiting>()
  #last = 0
  #isStopping = false

  /** `entry` is the compiled process, where it is not beside this file. */
  constructor({ dataDir, entry }: { dataDir: string; entry?: string | undefined }) {
    this.#dataDir = dataDir
    this.#place = embeddedPlace(dataDir)
    this.#entry = entry ?? fileURLToPath(new URL('./embedded-process.js', import.meta.url))
  }

  async query(sql: string, params: Parameters<Query>[1] = [], isAgain = false): Promise<readonly Row[]> {
    try {
      this.#socket ??= this.#open()
      const socket = await this.#socket
      this.#last += 1
      return await this.#ask(socket, this.#last, sql, params)
    } catch (error) {
      if (!isAgain && mayTryAgain(sql, error)) return this.query(sql, params, true)
      throw unavailable(this.what, error)
    }
  }

  /** When it was the last one, resolves after the database has been closed. */
  async stop(deadline = Date.now() + closeMs): Promise<void> {
    this.#isStopping = true
    const left = Math.max(0, Math.min(closeMs, deadline - Date.now()))
    // One that is still opening is left to itself: it closes when this process has gone.
    const opened = this.#socket?.catch(() => undefined)
    const socket = await Promise.race([opened, pause(left, undefined, { ref: false })])
    if (!socket || socket.destroyed) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => socket.destroy(), Math.max(0, Math.min(closeMs, deadline - Date.now())))
      socket.once('close', () => {
        clearTimeout(timer)
        resolve()
      })
      socket.end()
    })
  }

  #ask(socket: Socket, id: number, sql: string, params: Parameters<Query>[1]): Promise<readonly Row[]> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id)
        reject(new Error(`no answer within ${statementMs} ms`))
      }, statementMs)
      this.#waiting.set(id, { resolve, reject, timer })
      socket.write(`${JSON.stringify({ id, sql, params })}\n`)
    })
  }

  async #open(): Promise<Socket> {
    const began = Date.now()
    let spawned = 0
    let isRefused = false
    try {
      prepareEmbeddedPlace(this.#place)
      while (Date.now() - began < openMs && !this.#isStopping) {
        const socket = await connect(this.#place.socket)
        // One that is just stopping hangs up; then another one is started.
        if (socket && (await this.#greet(socket))) return socket
        if (!socket && Date.now() - spawned > againMs) {
          spawned = Date.now()
          this.#spawn(() => {
            isRefused = true
          })
        }
        if (isRefused) break
        await pause(20)
      }
      throw new Error(`it does not start: ${lastLine(this.#place.log)}`)
    } catch (error) {
      this.#socket = undefined
      throw error
    }
  }

  /** Whether it is ready. Throws what it says of itself when it does not open. */
  #greet(socket: Socket): Promise<boolean> {
    let isReady = false
    return new Promise((resolve, reject) => {
      const lines = createInterface({ input: socket })
      lines.on('error', () => {}) // it passes the socket's on
      lines.on('line', (text) => {
        const line = JSON.parse(text) as Line
        if (line.schema !== undefined) {
          isReady = line.schema >= schemaVersion
          if (isReady) return resolve(true)
          socket.destroy()
          reject(
            new Error('its process is of an older version: stop all processes of this DATA_DIR, and start them again'),
          )
        } else if (line.failed !== undefined) reject(new Error(line.failed))
        else this.#settle(line)
      })
      socket.once('close', () => {
        resolve(false)
        if (!isReady) return
        this.#socket = undefined
        // Whether what they asked for was done is not known.
        for (const { reject, timer } of this.#waiting.values()) {
          clearTimeout(timer)
          reject(new Error('its process ended'))
        }
        this.#waiting.clear()
      })
    })
  }

  #settle({ id = 0, rows, error }: Line): void {
    const waiting = this.#waiting.get(id)
    if (!waiting) return
    this.#waiting.delete(id)
    clearTimeout(waiting.timer)
    if (error === undefined) waiting.resolve(rows ?? [])
    else waiting.reject(new Error(error))
  }

  /** Detached, so that a terminal's Ctrl-C does not reach it before the work in hand is finished. */
  #spawn(onRefused: () => void): void {
    const child = spawn(process.execPath, [this.#entry, this.#dataDir], {
      detached: true,
      stdio: 'ignore',
      cwd: this.#dataDir,
    })
    child.once('exit', (code) => code === folderInUse && onRefused())
    child.on('error', () => {}) // #open ends at its deadline and says so
    child.unref()
  }
}

function connect(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = createConnection({ path, allowHalfOpen: true })
    socket.once('error', () => resolve(undefined))
    socket.once('connect', () => {
      socket.removeAllListeners('error')
      socket.on('error', () => socket.destroy())
      socket.on('end', () => socket.end())
      resolve(socket)
    })
  })
}

function lastLine(file: string): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').at(-1) ?? ''
  } catch {
    return `no log at ${file}`
  }
}
