import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import cacheWarm from '../../queues/cache-warm.ts'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue, defineWarmer, defineWorker, type WarmReport } from '../../src/index.ts'
import cacheWarmWorker from '../../workers/cache-warm.ts'
import { apiOf } from '../harness/api.ts'
import { operatorKey, startTestApp, type TestApp, tenantKey, viewerKey } from '../harness/app.ts'
import { keysOf, startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* What handlers do with the cache and the breakers, and what the API tells of it. Queue and cache store are two servers. */

let queueStore: TestRedis
let cacheStore: TestRedis
let app: TestApp
let computed: string[] = []
let isDown = true

const queue = defineQueue({ name: 'work', payload: z.object({ team: z.string() }), retry: { attempts: 1 } })
const worker = defineWorker(queue, async ({ payload, tenant }, { cache, breakers }): Promise<unknown> => {
  const channels = cache.cached(
    (team: string) => {
      computed.push(`${tenant}/${team}`)
      return [`general of ${team}`]
    },
    { name: 'slack__getChannels', ttl: '10m' },
  )
  if (payload.team !== 'broken') return channels(payload.team)
  return breakers.run('notion', () => (isDown ? Promise.reject<string>(new Error('down')) : Promise.resolve('up')))
})

beforeAll(async () => {
  ;[queueStore, cacheStore] = await Promise.all([startRedis(), startRedis({ 'maxmemory-policy': 'allkeys-lru' })])
  app = await startTestApp(queueStore.url, {
    // What is asked of the store must not be missed because the machine is busy.
    env: { CACHE_REDIS_URL: cacheStore.url, CACHE_TIMEOUT: '5s' },
    definitions: { queues: [queue, quarantine, cacheWarm], workers: [worker, cacheWarmWorker], ignored: [] },
  })
})
afterAll(async () => {
  await app?.close()
  await Promise.all([queueStore.stop(), cacheStore.stop()])
})

const { ask, read } = apiOf(() => app)
const done = async (team: string, tenant: string) => {
  const { id } = await app.enqueue(queue, { team }, { tenant })
  return app.waitFor(queue, id, '20s')
}
const metric = async (line: RegExp) => Number(line.exec(await (await fetch(`${app.url}/metrics`)).text())?.[1] ?? 0)

describe('a handler', () => {
  it('has a cache of its tenant', async () => {
    expect(await done('a', 'T-ONE')).toEqual(['general of a'])
    expect(await done('a', 'T-ONE')).toEqual(['general of a'])
    expect(await done('a', 'T-TWO')).toEqual(['general of a'])
    expect(computed).toEqual(['T-ONE/a', 'T-TWO/a'])
    await until(
      () => metric(/cache_requests_total\{cache="slack__getChannels",result="computed"\} (\d+)/).then((n) => n === 2),
      'counted',
    )
    expect(await metric(/cache_requests_total\{cache="slack__getChannels",result="l1"\} (\d+)/)).toBe(1)
  })
})

describe('GET /api/cache', () => {
  it('tells everything to those who see everything, and to a tenant its own', async () => {
    expect(await read('/cache', { key: viewerKey })).toMatchObject({
      of: null,
      counted: 'all processes',
      requests: 3,
      computed: 2,
      l1: 1,
      hitRate: 0.3333,
      local: { items: 2 },
      store: { breaker: 'closed', evictedKeys: 0 },
    })
    const own = await read('/cache', { key: tenantKey })
    expect(own).toMatchObject({ of: 'T-ONE', requests: 2, computed: 1, l1: 1, hitRate: 0.5 })
    expect(own).not.toHaveProperty('store')
    expect(await read('/cache?tenant=T-ONE', { key: tenantKey })).toMatchObject({ of: 'T-ONE', requests: 2 })
    expect((await ask('/cache?tenant=T-TWO', { key: tenantKey })).status).toBe(404)
    expect(await read('/cache?tenant=T-TWO')).toMatchObject({ of: 'T-TWO', requests: 1 })
    expect((await fetch(`${app.url}/api/cache`)).status).toBe(401)
    expect((await ask('/cache?nonsense=1')).status).toBe(400)
    expect((await ask('/cache', { method: 'POST' })).status).toBe(405)
  })
})

describe('breakers of calls', () => {
  it('open, are seen, and are closed by hand by an operator of everything', async () => {
    for (let i = 0; i < 5; i++) await expect(done('broken', 'T-ONE')).rejects.toThrow('down')
    await expect(done('broken', 'T-TWO')).rejects.toThrow('notion has failed again and again')
    expect(await read('/breakers', { key: viewerKey })).toMatchObject({
      breakers: [
        { name: 'cache-store', state: 'closed' },
        { name: 'notion', state: 'open', failures: 5 },
      ],
    })
    expect(await metric(/breaker_state\{name="call:notion"\} (\d)/)).toBe(2)
    const ready = await fetch(`${app.url}/readyz`)
    const { checks } = (await ready.json()) as { checks: Record<string, { state: string; detail: string }> }
    expect([ready.status, checks.breakers]).toEqual([
      200,
      { state: 'warn', detail: expect.stringMatching(/^notion is open until \S+$/) },
    ])
    const reset = (key: string, name = 'notion') => ask(`/breakers/${name}/reset`, { method: 'POST', key })
    expect([(await reset(viewerKey)).status, (await reset(tenantKey)).status]).toEqual([403, 403])
    expect((await reset(operatorKey, 'a%20b')).status).toBe(400)
    isDown = false
    expect(await (await reset(operatorKey)).json()).toEqual({ name: 'notion', told: 0 })
    expect(await done('broken', 'T-TWO')).toBe('up')
    expect(await metric(/breaker_state\{name="call:notion"\} (\d)/)).toBe(0)
  })
})

describe('warming', () => {
  it('computes again what was asked for, leaves what is fresh, and is no key that holds something else', async () => {
    // So often that a sample of one in sixteen has seen it, but for one case in 10^13.
    for (let i = 0; i < 30; i++) await Promise.all(Array.from({ length: 16 }, () => done('a', 'T-ONE')))
    await ask('/cache')
    computed = []
    const warm = async (tenant?: string) => {
      const { id } = await app.enqueue(cacheWarm, { perSecond: 1_000, ...(tenant ? { tenant } : {}) })
      return (await app.waitFor(cacheWarm, id, '20s')) as WarmReport
    }
    expect(await warm('T-ONE')).toMatchObject({ tenants: 1, warmed: 0, fresh: 1, failed: 0 })
    const [key = ''] = await keysOf(cacheStore.client, `${app.prefix}:cache:v:T-ONE:*`)
    await cacheStore.client.del(key)
    expect(await warm('T-ONE')).toMatchObject({ tenants: 1, warmed: 1, fresh: 0, failed: 0 })
    expect(computed).toEqual(['T-ONE/a'])
    expect(await cacheStore.client.pttl(key)).toBeGreaterThan(0)
    await cacheStore.client.del(key)
    await cacheStore.client.hset(key, 'not', 'an entry')
    expect(await warm()).toMatchObject({ warmed: 0 })
    expect(await cacheStore.client.hgetall(key)).toEqual({ not: 'an entry' })
    expect(await read('/cache')).toMatchObject({ lastWarmedAt: expect.any(String) })
  }, 60_000)
})

describe('a warmer', () => {
  it.each([
    [{ name: 'a b' }, 'is not a name'],
    [{ name: 'a', compute: 1 }, 'is not a function'],
    [{ name: 'a', compute: String, always: [1] }, 'is not a list of lists'],
    [{ name: 'a', compute: String, stale: 5 }, 'write a duration'],
    [{ name: 'a', compute: String, nonsense: 5 }, 'is not an option'],
  ])('that is wrong is refused: %j', (options, words) => {
    expect(() => defineWarmer(options as never)).toThrow(words)
  })
})

it('tells what the store evicts', async () => {
  expect(await metric(/store_evicted_keys\{store="cache"\} (\d+)/)).toBe(0)
  const { client } = cacheStore
  const used = Number(/^used_memory:(\d+)/m.exec(await client.info('memory'))?.[1])
  await client.config('SET', 'maxmemory', String(used + 1024 ** 2))
  for (let i = 0; i < 100; i++) await client.set(`filler:${i}`, 'x'.repeat(50_000), 'EX', 60)
  const evicted = Number(/^evicted_keys:(\d+)/m.exec(await client.info('stats'))?.[1])
  await client.config('SET', 'maxmemory', '0')
  expect(evicted).toBeGreaterThan(0)
  await until(
    async () => (await metric(/store_evicted_keys\{store="cache"\} (\d+)/)) >= evicted,
    'it is in the metrics',
  )
  const { store } = (await read('/cache')) as { store: { evictedKeys: number } }
  expect(store.evictedKeys).toBeGreaterThanOrEqual(evicted)
  expect(await metric(/store_evicted_keys\{store="queue"\} (\d+)/)).toBe(0)
})

describe('with the cache store away', () => {
  it('the process is ready, jobs are done, and the numbers are those of this process', async () => {
    await cacheStore.kill()
    try {
      for (const team of ['b', 'c', 'd', 'e', 'f']) expect(await done(team, 'T-ONE')).toEqual([`general of ${team}`])
      await until(async () => (await read<{ counted: string }>('/cache')).counted === 'this process', 'it is away')
      const ready = await fetch(`${app.url}/readyz`)
      expect([ready.status, await ready.text()]).toEqual([200, expect.stringContaining('cache-store is ')])
    } finally {
      await cacheStore.restart()
    }
    await until(async () => (await read<{ counted: string }>('/cache')).counted === 'all processes', 'it is back')
  })
})
