import { appendFileSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { hostname } from 'node:os'
import { createInterface } from 'node:readline'
import type { PGlite } from '@electric-sql/pglite'
import { messageOf } from '../errors.ts'
import type { Row } from './database.ts'
import { embeddedPlace, folderInUse, prepareEmbeddedPlace } from './embedded-place.ts'
import { migrate, schemaVersion } from './migrations.ts'

/*
 * The process of the embedded database: one for each DATA_DIR, for all processes that use it. PGlite is a PostgreSQL inside
 * one process; two on one folder would destroy it, its start holds up everything else in its process for a second or more, and
 * it takes some 300 MB. Like the keeper of the managed stores it lives as long as anybody is connected to its socket, which
 * the kernel sees to. Each line on the socket is a statement, and each line back its rows.
 */

/** Who started it has connected long before. */
const firstClientMs = 15_000
/** How often it shows that it lives, and after how long without it is taken for dead. */
const beatMs = 3_000
const deadMs = 12_000

type Asked = { readonly id: number; readonly sql: string; readonly params: unknown[] }

async function main(): Promise<void> {
  const place = embeddedPlace(process.argv[2] ?? '')
  prepareEmbeddedPlace(place)
  const log = (line: string) => {
    try {
      appendFileSync(place.log, `${new Date().toISOString()} ${line}\n`, { mode: 0o600 })
    } catch {
      // A full disk: the database matters more than a line about it.
    }
  }
  const lock = createServer((socket) => socket.destroy())
  if (!(await listen(lock, place.lockAddress))) process.exit(3)
  const other = otherOwner(place.owner)
  if (other !== undefined) {
    log(`the folder is in use by ${other}; one machine at a time, or set DATABASE_URL`)
    process.exit(folderInUse)
  }
  writeFileSync(place.owner, `${hostname()} ${process.pid}\n`, { mode: 0o600 })
  const beat = setInterval(() => {
    const now = new Date()
    try {
      utimesSync(place.owner, now, now)
    } catch {
      // Somebody took the folder away; there is nothing left to guard.
    }
  }, beatMs)
  log(`process ${process.pid} started`)

  const clients = new Set<Socket>()
  let database: PGlite | undefined
  let stopping: Promise<void> | undefined
  const opening = open(place.data)
  const door = createServer({ allowHalfOpen: true }, (socket) => {
    clients.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => void leave(socket))
    // Reads to its end before it leaves: what was asked is done.
    let last: Promise<unknown> = Promise.resolve()
    const lines = createInterface({ input: socket })
    lines.on('error', () => {}) // it passes the socket's on
    lines.on('line', (line) => {
      last = answer(socket, line)
    })
    lines.on('close', () => void last.then(() => leave(socket)))
    opening.then(
      () => socket.write(`${JSON.stringify({ schema: schemaVersion })}\n`),
      (error) => socket.end(`${JSON.stringify({ failed: messageOf(error) })}\n`),
    )
  })

  async function answer(socket: Socket, line: string): Promise<void> {
    const { id, sql, params } = JSON.parse(line) as Asked
    try {
      const { rows } = await (await opening).query<Row>(sql, params)
      if (socket.writable) socket.write(`${JSON.stringify({ id, rows })}\n`)
    } catch (error) {
      if (socket.writable) socket.write(`${JSON.stringify({ id, error: messageOf(error) })}\n`)
    }
  }

  /** The last to leave is answered only when the database is closed, so that its own exit means "all is down". */
  async function leave(socket: Socket): Promise<void> {
    if (!clients.delete(socket)) return
    if (clients.size === 0) await stop('the last process has left')
    socket.end()
  }

  function stop(why: string): Promise<void> {
    stopping ??= (async () => {
      log(`stopping: ${why}`)
      door.close()
      rmSync(place.socket, { force: true })
      await opening.catch(() => {})
      await database?.close().catch((error) => log(`did not close cleanly: ${messageOf(error)}`))
      clearInterval(beat)
      rmSync(place.owner, { force: true })
      log('stopped')
      lock.close()
      setTimeout(() => process.exit(0), 100).unref()
    })()
    return stopping
  }

  opening.then(
    (opened) => {
      database = opened
      log('ready')
    },
    (error) => {
      log(`does not open: ${messageOf(error)}`)
      void stop('the database does not open')
    },
  )
  // Left over from one that was killed; the lock says that none lives.
  rmSync(place.socket, { force: true })
  if (!(await listen(door, place.socket))) throw new Error(`${place.socket} is in use`)
  setTimeout(() => clients.size === 0 && void stop('nobody came'), firstClientMs).unref()
  // A terminal's Ctrl-C is for the processes that use it; they leave when they have finished.
  process.on('SIGINT', () => {})
  process.on('SIGHUP', () => {})
  process.on('SIGTERM', () => void stop('SIGTERM'))
}

async function open(folder: string): Promise<PGlite> {
  const { PGlite } = await import('@electric-sql/pglite')
  const database = await PGlite.create(folder)
  await database.transaction((transaction) =>
    migrate(async (sql, params = []) => (await transaction.query<Row>(sql, [...params])).rows),
  )
  return database
}

/** Who else has the folder, and lives: known by its pid on this machine, by its heartbeat on another one. */
function otherOwner(file: string): string | undefined {
  try {
    const [host, pid] = readFileSync(file, 'utf8').trim().split(' ')
    // On this machine the lock would have been held.
    if (host === hostname() || Date.now() - statSync(file).mtimeMs > deadMs) return undefined
    return `process ${pid} on ${host}`
  } catch {
    return undefined
  }
}

function listen(server: Server, address: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(false) : reject(error),
    )
    server.listen(address, () => resolve(true))
  })
}

await main()
