import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { EngineOptions } from '../../src/cache/engine.ts'
import { countFlush, flush } from '../../src/cache/flush.ts'
import { openCache, type TestCache } from '../harness/cache.ts'
import { keysOf, startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

let server: TestRedis
let prefix: string
const opened: TestCache[] = []

beforeAll(async () => {
  // KEYS is not to be had, as an administrator would have it.
  server = await startRedis({ 'maxmemory-policy': 'allkeys-lru', appendonly: 'no' })
  await server.client.acl('SETUSER', 'default', '-keys')
})
afterAll(() => server.stop())
afterEach(async () => {
  for (const cache of opened.splice(0)) await cache.close()
})

async function open(options: Partial<EngineOptions> = {}): Promise<TestCache> {
  const cache = await openCache(server, { prefix, ...options })
  opened.push(cache)
  return cache
}
const fresh = () => {
  prefix = freshId('c')
  return open()
}

describe('invalidating', () => {
  it('by pattern takes what fits, of this tenant only, whatever it is called', async () => {
    const engine = await fresh()
    for (const tenant of ['org*', 'org1', 'org2', undefined]) {
      const cache = engine.of(tenant)
      for (const key of ['notion__a', 'notion__b', 'slack__a', 'notion_*']) await cache.set(key, 1)
    }
    expect(await engine.of('org*').invalidate({ pattern: 'notion__*' })).toBe(2)
    const left = async (tenant: string | undefined) =>
      (await (await open()).of(tenant).getMany(['notion__a', 'notion__b', 'slack__a', 'notion_*'])).map(Boolean)
    expect(await left('org*')).toEqual([false, false, true, true])
    for (const tenant of ['org1', 'org2', undefined]) expect(await left(tenant)).toEqual([true, true, true, true])
    expect(await engine.of('org1').namespace('notion').invalidate({ pattern: '*' })).toBe(0)
  })

  it('by tag takes what has it, also where it is read without saying so', async () => {
    const [one, two] = [(await fresh()).of('T1'), (await open()).of('T1')]
    await one.set('both', 1, { tags: ['x', 'y'] })
    await one.getOrCompute('x', () => 1, { tags: ['x'] })
    await one.getOrCompute('y', () => 1, { tags: ['y'] })
    await opened[0]?.of('T2').set('x', 1, { tags: ['x'] })
    expect(await two.getMany(['both', 'x', 'y'])).toEqual([1, 1, 1])
    expect(await one.invalidate({ tag: 'x' })).toBe(2)
    expect(await (await open()).of('T1').getMany(['both', 'x', 'y'])).toEqual([undefined, undefined, 1])
    expect(await (await open()).of('T2').get('x')).toBe(1)
  })

  it('by tag also holds for entries that a full store has lost the list of', async () => {
    const cache = (await fresh()).of('T1')
    await cache.set('k', 1, { tags: ['x'] })
    await server.client.del(`${prefix}:cache:g:T1:x`)
    await cache.invalidate({ tag: 'x' })
    expect(await server.client.exists(`${prefix}:cache:v:T1:k`)).toBe(1)
    expect(await (await open()).of('T1').get('k')).toBeUndefined()
    expect(await (await open()).of('T1').getOrCompute('k', () => 2, { tags: ['x'] })).toBe(2)
  })

  it.each([
    ['key', (cache: TestCache) => cache.of('T1').delete('k')],
    ['tag', (cache: TestCache) => cache.of('T1').invalidate({ tag: 'x' })],
    ['pattern', (cache: TestCache) => cache.of('T1').invalidate({ pattern: 'k*' })],
    ['another value', (cache: TestCache) => cache.of('T1').set('k', 'newer', { tags: ['x'] })],
  ])('by %s: what is computed meanwhile is not stored after it', async (how, invalidate) => {
    const [one, two] = [await fresh(), await open()]
    let finish = (_value: string) => {}
    let begun = () => {}
    const started = new Promise<void>((resolve) => {
      begun = resolve
    })
    const slow = one.of('T1').getOrCompute(
      'k',
      () => {
        begun()
        return new Promise<string>((resolve) => {
          finish = resolve
        })
      },
      { tags: ['x'] },
    )
    await started
    await invalidate(two)
    finish('older')
    expect(await slow).toBe('older')
    const expected = how === 'another value' ? 'newer' : undefined
    for (const cache of [one, two, await open()]) expect(await cache.of('T1').get('k')).toBe(expected)
    expect(await one.of('T1').getOrCompute('k', () => 'anew', { tags: ['x'] })).toBe(expected ?? 'anew')
  })

  it('of 100,000 keys takes exactly those that fit, a few at a time', async () => {
    const engine = await fresh()
    for (let i = 0; i < 100; i++) {
      const pipeline = server.client.pipeline()
      for (let j = 0; j < 1_000; j++)
        pipeline.set(`${prefix}:cache:v:T1:${j % 2 ? 'odd' : 'even'}-${i}-${j}`, '1', 'EX', 600)
      await pipeline.exec()
    }
    const steps: number[] = []
    expect(await countFlush(engine, { tenant: 'T1', pattern: 'odd-*' })).toEqual([{ room: 'T1', entries: 50_000 }])
    expect(await flush(engine, { tenant: 'T1', pattern: 'odd-*' }, (gone) => void steps.push(gone))).toBe(50_000)
    expect(await countFlush(engine, {})).toEqual([{ room: 'T1', entries: 50_000 }])
    expect(steps.length).toBeGreaterThan(50)
    expect(await flush(engine, {})).toBe(50_000)
  }, 60_000)
})

describe('cached functions', () => {
  it('are called once for the same arguments, by tenant', async () => {
    const engine = await fresh()
    let called = 0
    const wrapped = (tenant: string) =>
      engine.of(tenant).cached(
        (query: { team: string; page: number }) => {
          called++
          return { ...query, tenant }
        },
        { name: 'notion__getTasks', ttl: '5m', tags: ['notion'] },
      )
    expect(await wrapped('T1')({ team: 'a', page: 1 })).toEqual({ team: 'a', page: 1, tenant: 'T1' })
    expect(await wrapped('T1')({ page: 1, team: 'a' })).toEqual({ team: 'a', page: 1, tenant: 'T1' })
    expect(called).toBe(1)
    expect(await wrapped('T2')({ page: 1, team: 'a' })).toMatchObject({ tenant: 'T2' })
    await wrapped('T1')({ team: 'a', page: 2 })
    expect(called).toBe(3)
    expect(await engine.of('T1').invalidate({ pattern: 'notion__*' })).toBe(2)
    await wrapped('T1')({ team: 'a', page: 1 })
    expect(called).toBe(4)
  })
})

describe('flushing', () => {
  it('counts first, by tenant, by pattern and by tag', async () => {
    const engine = await fresh()
    for (const tenant of ['T*', 'T1', undefined])
      for (const key of ['a:1', 'a:2', 'b:1'])
        await engine.of(tenant).set(key, 1, { tags: key.startsWith('b') ? ['b'] : [] })
    const rooms = (counts: readonly { room: string; entries: number }[]) =>
      Object.fromEntries(counts.map(({ room, entries }) => [room, entries]))
    expect(rooms(await countFlush(engine, {}))).toEqual({ 'T%2A': 3, T1: 3, '~': 3 })
    expect(rooms(await countFlush(engine, { tenant: 'T*', pattern: 'a:*' }))).toEqual({ 'T%2A': 2 })
    expect(rooms(await countFlush(engine, { tag: 'b' }))).toEqual({ 'T%2A': 1, T1: 1, '~': 1 })
    expect(rooms(await countFlush(engine, { tenant: 'nobody' }))).toEqual({ nobody: 0 })
    expect(await flush(engine, { tenant: 'T*' })).toBe(3)
    expect(await flush(engine, { tag: 'b' })).toBe(2)
    expect(rooms(await countFlush(engine, {}))).toEqual({ T1: 2, '~': 2 })
  })

  it('of all tenants reaches what the store has evicted and what is computed for the first time', async () => {
    const [engine, other] = [await fresh(), await open()]
    for (const [tenant, options] of [
      ['T1', {}],
      ['T2', { tags: ['b'] }],
    ] as const) {
      await engine.of(tenant).set('k', 1, options)
      await server.client.del(`${prefix}:cache:v:${tenant}:k`)
    }
    let finish = (_value: number) => {}
    const computing = engine.of('T3').getOrCompute('k', () => new Promise<number>((resolve) => (finish = resolve)))
    await until(async () => (await keysOf(server.client, `${prefix}:cache:l:*`)).length === 1, 'it is computed')
    await flush(other, { tag: 'b' })
    await until(() => engine.core.local.size === 1, 'what has the tag is gone')
    expect(await engine.of('T1').get('k')).toBe(1)
    await flush(other, {})
    await until(() => engine.core.local.size === 0, 'the rest is gone')
    finish(1)
    expect(await computing).toBe(1)
    expect(await keysOf(server.client, `${prefix}:cache:v:*`)).toEqual([])
    expect(engine.core.local.size).toBe(0)
  })
})
