import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'

/** The folder of the system's PostgreSQL programs: Debian keeps them off PATH. */
const programs = ['/usr/lib/postgresql/17/bin', '/usr/lib/postgresql/16/bin', '/usr/lib/postgresql/15/bin'].find(
  (dir) => existsSync(join(dir, 'initdb')),
)

/** Why there is no PostgreSQL to test with; undefined when there is. */
export const noPostgres = programs === undefined ? 'skipped: apt-get install postgresql-15' : undefined

/** A PostgreSQL server of the test's own. Data survives `restart()`. */
export type TestPostgres = {
  readonly url: string
  /** kill -9, resolves when it is gone. */
  kill(): Promise<void>
  /** To all of its processes. */
  signal(name: NodeJS.Signals): void
  restart(): Promise<void>
  stop(): Promise<void>
}

/** It refuses to be root; then it is the user that its package made. */
function owner(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {}
  const id = (flag: string) => Number(spawnSync('id', [flag, 'postgres']).stdout.toString())
  return { uid: id('-u'), gid: id('-g') }
}

export async function startPostgres(): Promise<TestPostgres> {
  const user = owner()
  const dir = mkdtempSync(join(tmpdir(), 'millrace-pg-'))
  chmodSync(dir, 0o700)
  if (user.uid !== undefined) chownSync(dir, user.uid, user.gid ?? 0)
  const program = (name: string) => join(programs ?? '', name)
  const data = join(dir, 'data')
  const options = { ...user, cwd: dir, stdio: 'ignore' } as const
  const made = spawnSync(
    program('initdb'),
    ['-D', data, '-U', 'tests', '-A', 'trust', '--no-sync', '-E', 'UTF8'],
    options,
  )
  if (made.status !== 0) throw new Error(`initdb ended with ${made.status}`)
  const port = await freePort()
  const url = `postgres://tests@127.0.0.1:${port}/postgres`
  let child: ChildProcess
  const gone = () => (child.exitCode === null && child.signalCode === null ? once(child, 'exit') : Promise.resolve())
  const start = async () => {
    child = spawn(
      program('postgres'),
      ['-D', data, '-p', String(port), '-h', '127.0.0.1', '-k', dir, '-c', 'fsync=off'],
      // A group of its own, so that a signal reaches the processes that serve as well.
      { ...options, detached: true },
    )
    const deadline = Date.now() + 20_000
    for (;;) {
      const client = new pg.Client({ connectionString: url })
      client.on('error', () => {})
      try {
        await client.connect()
        return await client.end()
      } catch (error) {
        if (Date.now() > deadline || child.exitCode !== null) throw error
        await pause(20)
      }
    }
  }
  const signal = (name: NodeJS.Signals) => {
    if (child.pid) process.kill(-child.pid, name)
  }
  await start()
  return {
    url,
    signal,
    kill: async () => {
      signal('SIGKILL')
      await gone()
    },
    restart: start,
    stop: async () => {
      if (child.exitCode === null && child.signalCode === null) {
        signal('SIGCONT')
        child.kill('SIGQUIT')
        await gone()
      }
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

/** The processes of embedded databases of this DATA_DIR. */
export function embeddedPids(dataDir: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => commandLine(pid).includes(`embedded-process.js\0${dataDir}`))
    .map(Number)
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return '' // it has gone
  }
}
