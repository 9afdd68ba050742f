import { describe, expect, it } from 'vitest'
import { unpack } from '../../src/cache/entry.ts'
import { earlyOf } from '../../src/cache/local.ts'
import { hashOf, matcherOf, neverCached } from '../../src/cache/name.ts'
import { presetMs, ttlMsOf } from '../../src/cache/presets.ts'
import { kindTtl, toolTtl } from '../../src/define/ttl.ts'
import { fakeServices } from '../../src/testing.ts'
import { until } from '../harness/until.ts'
import { cacheStage } from './stage.ts'

const at = cacheStage({ random: () => 1 })
const { open, fresh } = at
const keyOf = (name: string) => `${at.prefix}:cache:v:T1:${name}`
const without = { local: { items: 0 } }

describe('what is stored', () => {
  it('is compressed above 1 KB and comes back as it was', async () => {
    const cache = (await fresh(without)).of('T1')
    const list = Array.from({ length: 200 }, (_, id) => ({ id, title: `task number ${id}`, done: false }))
    await cache.set('large', list)
    await cache.set('small', { a: 'ü€😀' })
    await cache.set('huge', 'x'.repeat(500_000))
    expect(JSON.stringify(list).length).toBeGreaterThan(5_000)
    expect(await at.server.client.strlen(keyOf('large'))).toBeLessThan(2_000)
    expect(await cache.getMany(['large', 'small', 'huge'])).toEqual([list, { a: 'ü€😀' }, 'x'.repeat(500_000)])
  })

  it('is never larger than 1 MB: such a value is given and not kept, and what was there goes', async () => {
    const engine = await fresh()
    const cache = engine.of('T1')
    let computed = 0
    const large = () => {
      computed++
      return 'x'.repeat(1024 ** 2)
    }
    expect((await cache.getOrCompute('k', large)).length).toBe(1024 ** 2)
    expect((await cache.getOrCompute('k', large)).length).toBe(1024 ** 2)
    expect([computed, await at.server.client.exists(keyOf('k'))]).toEqual([2, 0])
    await cache.set('k', 'small')
    await cache.set('k', 'x'.repeat(1024 ** 2))
    expect(await cache.get('k')).toBeUndefined()
    expect(engine.core.stats.own().refused).toBe(3)
  })

  it('is read when an older program stored it, and taken for nothing when it is damaged', async () => {
    const cache = (await fresh(without)).of('T1')
    await at.server.client.set(keyOf('old'), '{"plain":"JSON, uncompressed"}', 'EX', 60)
    expect(await cache.get('old')).toEqual({ plain: 'JSON, uncompressed' })
    expect(await cache.getOrCompute('old', () => 'another')).toEqual({ plain: 'JSON, uncompressed' })
    await at.server.client.set(keyOf('damaged'), 'M1 what is this', 'EX', 60)
    expect(await cache.get('damaged')).toBeUndefined()
    expect(await cache.getOrCompute('damaged', () => 'computed')).toBe('computed')
    expect(await cache.get('damaged')).toBe('computed')
    expect(unpack(Buffer.from(''))).toBeUndefined()
  })

  it('is nothing that JSON cannot have', async () => {
    const cache = (await fresh()).of('T1')
    const cyclic: { self?: unknown } = {}
    cyclic.self = cyclic
    expect(await cache.getOrCompute('k', () => cyclic)).toBe(cyclic)
    expect(await cache.getOrCompute('k', () => 1n)).toBe(1n)
    await expect(cache.set('k', () => {})).rejects.toThrow('it is not JSON')
  })

  it('starts its time anew with each use, when it is sliding', async () => {
    const [one, two] = [(await fresh()).of('T1'), (await open()).of('T1')]
    await one.set('k', 1, { ttl: 'day', sliding: true })
    for (const use of [
      () => one.get('k'),
      () => two.get('k'),
      () => one.getOrCompute('k', () => 2, { ttl: 'day', sliding: true }),
      async () => (await one.getMany(['k']))[0],
      async () => (await open()).of('T1').getOrCompute('k', () => 2),
    ]) {
      await at.server.client.pexpire(keyOf('k'), 60_000)
      expect(await use()).toBe(1)
      await until(async () => (await at.server.client.pttl(keyOf('k'))) > 86_000_000, 'its time has started anew')
    }
    at.time += 100 * 86_400_000
    expect(await two.get('k')).toBe(1)
  })

  it('is asked for again when its time is over here: whether others have used it only the store knows', async () => {
    const cache = (await fresh()).of('T1')
    await cache.set('k', 1, { ttl: '10s', sliding: true })
    await at.server.client.del(keyOf('k'))
    at.time += 9_999
    expect(await cache.get('k')).toBe(1)
    await cache.set('k', 1, { ttl: '10s', sliding: true })
    await at.server.client.del(keyOf('k'))
    at.time += 10_000
    expect(await cache.get('k')).toBeUndefined()
  })

  it('slides no "there is none": somebody may be making it', async () => {
    const [one, two] = [(await fresh()).of('T1'), (await open()).of('T1')]
    const options = { ttl: 'day', sliding: true } as const
    await one.getOrCompute('k', () => undefined, options)
    expect(await two.getOrCompute('k', () => 1, options)).toBeUndefined()
    expect(await at.server.client.pttl(keyOf('k'))).toBeLessThan(30_001)
    at.time += 30_000
    expect(await one.getOrCompute('k', () => 1, options)).toBe(1)
  })

  it('is read with one command, however many', async () => {
    const writer = (await fresh()).of('T1')
    const names = Array.from({ length: 100 }, (_, i) => `k${i}`)
    for (const [i, name] of names.entries()) await writer.set(name, i)
    const reader = await open()
    await at.server.client.config('RESETSTAT')
    const read = await reader.of('T1').getMany([...names, 'none', 'k0'])
    expect(read).toEqual([...names.keys(), undefined, 0])
    const calls = await at.server.client.info('commandstats')
    expect(calls).toMatch(/cmdstat_mget:calls=1,/)
    expect(calls).not.toContain('cmdstat_get:')
  })
})

describe('several at once', () => {
  it('are stored each for itself, in the store and in the kit: what is refused keeps no other from it', async () => {
    const engine = await fresh()
    for (const cache of [engine.of('T1'), fakeServices().of('T1').cache]) {
      await cache.setMany(new Map(Array.from({ length: 100 }, (_, i) => [`many-${i}`, i])), { ttl: 'hour' })
      const names = Array.from({ length: 100 }, (_, i) => `many-${i}`)
      expect(await cache.getMany(names)).toEqual([...names.keys()])
      const some = [
        ['good', 1],
        ['bad', () => 1],
        ['billing:1', 2],
        ['better', 3],
      ] as const
      await expect(cache.setMany(some)).rejects.toThrow('a function cannot be cached: it is not JSON')
      expect(await cache.getMany(['good', 'bad', 'better'])).toEqual([1, undefined, 3])
      await cache.setMany([])
      // What is computed and no JSON is given, and not kept.
      const given = () => 1
      expect(await cache.getOrCompute('given', () => given)).toBe(given)
      expect(await cache.getOrCompute('given', () => 'kept')).toBe('kept')
    }
    const other = await open()
    expect(await other.of('T1').getMany(['many-0', 'many-99', 'good'])).toEqual([0, 99, 1])
  })
})

describe('at hand', () => {
  it('are 1,000 entries, the most used, for a minute', async () => {
    const engine = await fresh()
    const cache = engine.of('T1')
    for (let i = 0; i < 1_000; i++) await cache.set(`k${i}`, i)
    at.time += 2_000
    await cache.get('k0')
    await cache.set('one-more', 1)
    expect([engine.core.local.size, engine.core.local.find(keyOf('k0'))?.value]).toEqual([1_000, 0])
    expect(engine.core.local.find(keyOf('k1'))).toBeUndefined()
    await at.server.client.set(keyOf('k0'), '"changed behind its back"')
    expect(await cache.get('k0')).toBe(0)
    at.time += 58_001
    expect(await cache.get('k0')).toBe('changed behind its back')
  })

  it('are no more than so many bytes', async () => {
    const engine = await fresh({ local: { bytes: 10_000 } })
    for (let i = 0; i < 20; i++) await engine.of('T1').set(`k${i}`, 'x'.repeat(998))
    expect([engine.core.local.size, engine.core.local.bytes]).toEqual([9, 9_000])
  })
})

describe('before its time', () => {
  it('an entry is computed anew the sooner the costlier it was, and callers wait for nothing', async () => {
    const entry = { freshUntil: 10_000, costMs: 100 } as Parameters<typeof earlyOf>[0]
    expect([earlyOf(entry, 1), Math.round(earlyOf(entry, Math.exp(-3)))]).toEqual([10_000, 9_700])
    let random = 1
    const engine = await fresh({ random: () => random })
    let computed = 0
    const ask = () =>
      engine.of('T1').getOrCompute(
        'k',
        async () => {
          computed++
          if (computed === 1) await new Promise((resolve) => setTimeout(resolve, 20))
          return computed
        },
        { ttl: '1m' },
      )
    await ask()
    engine.core.local.clear()
    random = Number.MIN_VALUE // 744 times what it cost: at least 14 s before its end
    at.time += 50_000
    expect(await ask()).toBe(1)
    await until(() => computed === 2, 'it is computed anew')
    random = 1
    await until(async () => (await ask()) === 2, 'the new one is given')
  })
})

describe('names', () => {
  it('hash arguments by what they are, not by the order of their properties', () => {
    expect(hashOf([{ a: 1, b: { c: [1, 2], d: null } }])).toBe(hashOf([{ b: { d: null, c: [1, 2] }, a: 1 }]))
    expect(hashOf([{ a: 1, b: undefined }])).toBe(hashOf([{ a: 1 }]))
    const apart = [
      [1],
      ['1'],
      [[1]],
      [null],
      [undefined],
      [],
      [1, 2],
      [[1, 2]],
      [{ a: 1 }],
      ['{"a":1}'],
      [new Date(1)],
      [1n],
    ]
    expect(new Set(apart.map(hashOf)).size).toBe(apart.length)
  })

  it('of what must never be cached are refused', async () => {
    const cache = (await fresh()).of('T1')
    for (const name of neverCached)
      expect(() => cache.namespace(name), name).toThrow(expect.objectContaining({ code: 'never-cached' }))
    await expect(cache.set('billing:invoice', 1)).rejects.toMatchObject({ code: 'never-cached' })
    await expect(cache.getOrCompute('Audit:1', () => 1)).rejects.toMatchObject({ code: 'never-cached' })
    expect(() => cache.cached(() => 1, { name: 'tokens' })).toThrow(expect.objectContaining({ code: 'never-cached' }))
    await expect(cache.get('')).rejects.toMatchObject({ code: 'bad-request' })
    await expect(cache.get('x'.repeat(1_025))).rejects.toMatchObject({ code: 'bad-request' })
  })

  it('are texts, below a namespace too', async () => {
    for (const cache of [(await fresh()).of('T1').namespace('user'), fakeServices().of('T1').cache.namespace('user')])
      for (const key of [undefined, '', {}, 7] as string[])
        for (const asked of [cache.get(key), cache.getMany([key]), cache.getOrCompute(key, () => 1), cache.set(key, 1)])
          await expect(asked).rejects.toThrow('a cache key is a text')
  })

  it('of what is to be invalidated are said: a mistake would leave what is old', async () => {
    const wrong = [{}, { tag: '' }, { tag: undefined }, { pattern: undefined }, { tag: 'a', pattern: 'b' }] as {
      tag: string
    }[]
    for (const cache of [(await fresh()).of('T1'), fakeServices().of('T1').cache])
      for (const what of wrong) await expect(cache.invalidate(what)).rejects.toThrow('say what to invalidate')
  })

  it('match a pattern by its stars alone', () => {
    const fits = matcherOf('a?[b]*.c\\*')
    expect(['a?[b].c\\', 'a?[b]xx\nx.c\\yy', 'ax[b].c\\', 'a?b.c\\'].map(fits)).toEqual([true, true, false, false])
  })
})

describe('options', () => {
  it('have the times of the guides', () => {
    expect(presetMs).toEqual({ short: 60_000, medium: 300_000, long: 900_000, hour: 3_600_000, day: 86_400_000 })
    const seconds = (ttls: Readonly<Record<string, Parameters<typeof ttlMsOf>[0]>>) =>
      Object.fromEntries(Object.entries(ttls).map(([name, ttl]) => [name, ttlMsOf(ttl) / 1_000]))
    expect(seconds(toolTtl)).toEqual({
      notion__getTasks: 300,
      notion__getDatabases: 3_600,
      slack__getChannels: 600,
      linear__getIssues: 300,
    })
    expect(seconds(kindTtl)).toMatchObject({ user: 300, lead: 604_800, ai: 86_400, search: 60, session: 900 })
  })

  it.each([
    [{ ttl: '5' }, 'ttl is "5"'],
    [{ ttl: '0s' }, 'is not between'],
    [{ ttl: '366d' }, 'is not between'],
    [{ stale: '1m', sliding: true }, 'exclude each other'],
    [{ tags: [''] }, 'a tag is'],
    [{ tags: 'user' }, 'tags is a list'],
  ])('that make no sense are refused: %j', async (options, words) => {
    const cache = (await fresh()).of('T1')
    await expect(cache.set('k', 1, options as never)).rejects.toThrow(words)
    await expect(cache.getOrCompute('k', () => 1, options as never)).rejects.toThrow(words)
  })
})
