import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterEach, expect, it } from 'vitest'
import { ManagedStores } from '../../src/redis/managed.ts'
import { placeOf } from '../../src/redis/place.ts'
import { built, runMillrace, startMillrace } from '../harness/process.ts'
import { keeperPid, storePid } from '../harness/stores.ts'
import { until } from '../harness/until.ts'

/* The managed stores as they are: real redis-servers under a real keeper, killed in every way. */

const cleanups: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function dataDir(more = ''): string {
  const dir = join(mkdtempSync(join(tmpdir(), 'millrace-managed-')), more)
  cleanups.push(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

async function claim(dir: string): Promise<ManagedStores> {
  const stores = new ManagedStores({ dataDir: dir, durability: 'always', keeperFile: built('redis/keeper.js') })
  await stores.start()
  cleanups.push(() => stores.stop())
  return stores
}

function client(stores: ManagedStores, store: 'queue' | 'cache' = 'queue'): Redis {
  const redis = new Redis({
    path: stores.address(store).path ?? '',
    maxRetriesPerRequest: null,
    retryStrategy: () => 20,
  })
  redis.on('error', () => {})
  cleanups.push(() => redis.disconnect())
  return redis
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

it('runs two servers on sockets that only the owner can open, without a port', async () => {
  const dir = dataDir()
  const stores = await claim(dir)
  for (const store of ['queue', 'cache'] as const) {
    const redis = client(stores, store)
    expect(statSync(stores.address(store).path ?? '').mode & 0o777).toBe(0o700)
    expect(await redis.config('GET', 'port')).toEqual(['port', '0'])
  }
  expect(statSync(dir).mode & 0o777).toBe(0o700)
  expect(await client(stores).config('GET', 'appendfsync')).toEqual(['appendfsync', 'always'])
  expect(await client(stores).config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction'])
  expect(await client(stores, 'cache').config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'allkeys-lru'])
  expect(await client(stores, 'cache').config('GET', 'appendonly')).toEqual(['appendonly', 'no'])
})

it('starts a killed server again, with its data', async () => {
  const dir = dataDir()
  const stores = await claim(dir)
  const redis = client(stores)
  await redis.set('kept', 'yes')
  const first = storePid(dir, 'queue')
  process.kill(first, 'SIGKILL')
  expect(await redis.get('kept')).toBe('yes') // the client waits for the new one
  expect(storePid(dir, 'queue')).not.toBe(first)
})

it('is shared by every claim on the folder and stopped by the last one to leave', async () => {
  const dir = dataDir()
  const [one, two] = await Promise.all([claim(dir), claim(dir)])
  const pid = storePid(dir, 'queue')
  await one.stop()
  expect(await client(two).ping()).toBe('PONG')
  await two.stop()
  // It has ended; who inherited it may take a moment to notice.
  await until(() => !isAlive(pid), 'the store has stopped')
  expect(existsSync(placeOf(dir).keeperSocket)).toBe(false)
})

it('keeps its data from one start to the next', async () => {
  const dir = dataDir()
  const one = await claim(dir)
  await client(one).set('kept', 'yes')
  await one.stop()
  expect(await client(await claim(dir)).get('kept')).toBe('yes')
})

it('stops when the last process was killed with -9', async () => {
  const dir = dataDir()
  const millrace = await startMillrace({ DATA_DIR: dir }, ['--roles', 'http'])
  const pids = [storePid(dir, 'queue'), storePid(dir, 'cache')]
  await millrace.kill('SIGKILL')
  await until(() => pids.every((pid) => !isAlive(pid)), 'both servers have stopped')
  expect(readFileSync(placeOf(dir).keeperLog, 'utf8')).toContain('the last process has left')
})

it('outlives its keeper, and the next keeper adopts it', async () => {
  const dir = dataDir()
  const stores = await claim(dir)
  const pid = storePid(dir, 'queue')
  const keeper = keeperPid(dir)
  process.kill(keeper, 'SIGKILL')
  await until(() => keeperPid(dir) !== keeper && isAlive(keeperPid(dir)), 'a new keeper is there')
  await until(
    () => readFileSync(placeOf(dir).keeperLog, 'utf8').includes(`adopted redis-server ${pid}`),
    'it adopted the server',
  )
  process.kill(pid, 'SIGKILL')
  expect(await client(stores).ping()).toBe('PONG') // and watches over it
  await stores.stop()
  await until(() => !isAlive(storePidOrZero(dir)), 'the adopted server has stopped')
})

it('is adopted by the next start after everything but the servers was killed', async () => {
  const dir = dataDir()
  const millrace = await startMillrace({ DATA_DIR: dir }, ['--roles', 'http'])
  const pid = storePid(dir, 'queue')
  process.kill(keeperPid(dir), 'SIGSTOP') // so that it cannot see its last claim go
  await millrace.kill('SIGKILL')
  process.kill(keeperPid(dir), 'SIGKILL')
  const stores = await claim(dir)
  expect(await client(stores).ping()).toBe('PONG')
  expect(storePid(dir, 'queue')).toBe(pid)
})

it('works in a folder whose path is longer than a socket address may be', async () => {
  const dir = dataDir('a-long-name/'.repeat(12))
  const stores = await claim(dir)
  expect(await client(stores).ping()).toBe('PONG')
  expect((stores.address('queue').path ?? '').length).toBeLessThan(100)
})

it('says in one line why a server does not start', async () => {
  const dir = dataDir()
  const stores = await claim(dir)
  await client(stores).set('a', 'b')
  await stores.stop()
  const aof = join(placeOf(dir).data('queue'), 'appendonlydir')
  const manifest = readdirSync(aof).find((name) => name.endsWith('.manifest')) ?? ''
  writeFileSync(join(aof, manifest), 'broken\n')
  const millrace = runMillrace({ DATA_DIR: dir }, ['--roles', 'http'])
  expect(await millrace.ended).toBe(1)
  const said = millrace
    .output()
    .split('\n')
    .filter((line) => line && !line.startsWith('{'))
  expect(said).toHaveLength(1)
  expect(said[0]).toContain('queue store')
  expect(said[0]).toContain('queue.log')
})

it('serves at once a second process that starts while the first one stops', async () => {
  const dir = dataDir()
  const one = await claim(dir)
  const [, two] = await Promise.all([one.stop(), claim(dir)])
  expect(await client(two).ping()).toBe('PONG')
})

function storePidOrZero(dir: string): number {
  try {
    return storePid(dir, 'queue')
  } catch {
    return 2 ** 30 // no pid file: nothing lives there
  }
}
