import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { until } from './until.ts'

/** A redis-server of the test's own, on a unix socket in a folder of its own. Data survives `restart()`. */
export type TestRedis = {
  readonly url: string
  readonly path: string
  readonly dir: string
  readonly pid: () => number
  /** A client that the test need not close. */
  readonly client: Redis
  signal(name: NodeJS.Signals): void
  /** kill -9, resolves when it is gone. */
  kill(): Promise<void>
  restart(): Promise<void>
  stop(): Promise<void>
}

/** Configuration lines beside the defaults: AOF `always`, noeviction, no TCP port. E.g. `{ 'maxmemory-policy': 'allkeys-lru' }`. */
export async function startRedis(conf: Record<string, string> = {}): Promise<TestRedis> {
  const dir = mkdtempSync(join(tmpdir(), 'millrace-redis-'))
  const path = join(dir, 's')
  const settings = {
    port: '0',
    unixsocket: path,
    dir,
    appendonly: 'yes',
    appendfsync: 'always',
    save: '',
    'maxmemory-policy': 'noeviction',
    ...conf,
  }
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
  let child: ChildProcess
  const client = new Redis({
    path,
    maxRetriesPerRequest: null,
    retryStrategy: () => 20,
    lazyConnect: true,
    ...(conf.requirepass ? { password: conf.requirepass } : {}),
  })
  client.on('error', () => {})

  const start = async () => {
    child = spawn('redis-server', args, { stdio: 'ignore' })
    await once(child, 'spawn')
    if (client.status === 'wait') await client.connect().catch(() => {})
    await until(async () => (await client.ping()) === 'PONG', 'redis-server answers')
  }
  const gone = () =>
    child.exitCode === null && child.signalCode === null ? once(child, 'exit').then(() => {}) : Promise.resolve()
  await start()

  return {
    url: `unix://${path}`,
    path,
    dir,
    client,
    pid: () => child.pid ?? 0,
    signal: (name) => void child.kill(name),
    kill: async () => {
      child.kill('SIGKILL')
      await gone()
    },
    restart: start,
    stop: async () => {
      client.disconnect()
      child.kill('SIGCONT')
      child.kill('SIGTERM')
      await gone()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** All keys that match, without holding up the store as KEYS would. */
export async function keysOf(redis: Redis, match: string): Promise<string[]> {
  const found = new Set<string>()
  // A scan may say a key twice.
  for await (const some of redis.scanStream({ match, count: 1_000 })) for (const key of some as string[]) found.add(key)
  return [...found]
}
