import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import pg from 'pg'

const debians = '/usr/lib/postgresql'
/** The folder of the system's PostgreSQL programs, the newest: Debian keeps them off PATH. */
const programs = (existsSync(debians) ? readdirSync(debians) : [])
  .sort((a, b) => Number(b) - Number(a))
  .map((version) => join(debians, version, 'bin'))
  .find((dir) => existsSync(join(dir, 'initdb')))

/** Why there is no PostgreSQL to test with; undefined when there is. */
export const noPostgres = programs === undefined ? 'skipped: apt-get install postgresql' : undefined

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
      options,
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
    // Each has a group of its own. The first one's children are asked for before it is signalled and forgets them.
    for (const pid of [...childrenOf(child.pid ?? 0), child.pid ?? 0]) {
      try {
        if (pid > 1) process.kill(pid, name)
      } catch {
        // it has gone
      }
    }
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

function childrenOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && procFile(name, 'stat').split(') ').at(-1)?.split(' ')[1] === String(parent))
    .map(Number)
}

/** The processes of embedded databases of this DATA_DIR. */
export function embeddedPids(dataDir: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => procFile(pid, 'cmdline').includes(`embedded-process.js\0${dataDir}`))
    .map(Number)
}

function procFile(pid: string, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8')
  } catch {
    return '' // it has gone
  }
}
