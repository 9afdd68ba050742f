import { describe, expect, it } from 'vitest'
import { until } from '../harness/until.ts'
import { cacheStage } from './stage.ts'

const at = cacheStage({ random: () => 1 })
const { open, fresh, keysOf } = at

describe('getOrCompute', () => {
  it('computes once, then gives it from this process, and to another from the store', async () => {
    const [one, two] = [await fresh(), await open()]
    let computed = 0
    const compute = () => ({ n: ++computed })
    expect(await one.of('T1').getOrCompute('k', compute)).toEqual({ n: 1 })
    expect(await one.of('T1').getOrCompute('k', compute)).toEqual({ n: 1 })
    expect(await two.of('T1').getOrCompute('k', compute)).toEqual({ n: 1 })
    expect(await two.of('T1').get('k')).toEqual({ n: 1 })
    expect(computed).toBe(1)
    expect(one.core.stats.own()).toMatchObject({ computed: 1, l1: 1, l2: 0 })
    expect(two.core.stats.own()).toMatchObject({ computed: 0, l1: 1, l2: 1 })
  })

  it('gives everybody the same value, which nobody can change', async () => {
    const cache = (await fresh()).of('T1')
    const made = await cache.getOrCompute('k', () => ({ list: [1], at: new Date(0) }))
    expect(made).toEqual({ list: [1], at: '1970-01-01T00:00:00.000Z' })
    expect(() => made.list.push(2)).toThrow(TypeError)
  })

  it('throws what computing throws, keeps nothing of it, and holds nobody up', async () => {
    const cache = (await fresh()).of('T1')
    const fails = () => Promise.reject(new Error('no luck'))
    await expect(cache.getOrCompute('k', fails)).rejects.toThrow('no luck')
    expect(await cache.getOrCompute('k', () => 'fine')).toBe('fine')
  })

  it('keeps tenants apart, whatever they are called', async () => {
    const engine = await fresh()
    const tenants = [undefined, 'T1', '*', 'T1:x', 'T1%3Ax', 'a b', 'ü', '~', '\ud800', '[ab]']
    for (const [i, tenant] of tenants.entries()) await engine.of(tenant).set('k', i)
    const other = await open()
    for (const [i, tenant] of tenants.entries()) expect(await other.of(tenant).get('k')).toBe(i)
  })

  it('remembers that there is none, for 30 s or as long as it is told', async () => {
    const cache = (await fresh()).of('T1')
    let asked = 0
    const none = () => {
      asked++
      return undefined
    }
    for (let i = 0; i < 3; i++) expect(await cache.getOrCompute('none', none)).toBeUndefined()
    expect(asked).toBe(1)
    at.time += 30_001
    await cache.getOrCompute('none', none)
    expect(asked).toBe(2)
    const nil = () => {
      asked++
      return null
    }
    for (let i = 0; i < 3; i++) expect(await cache.getOrCompute('null', nil, { negative: '0s' })).toBeNull()
    expect(asked).toBe(5)
  })

  it('keeps an entry for a day, and not longer', async () => {
    const engine = await fresh()
    let computed = 0
    const ask = () => engine.of('T1').getOrCompute('k', () => ++computed, { ttl: 'day' })
    await ask()
    at.time += 24 * 3_600_000 - 1
    expect(await ask()).toBe(1)
    at.time += 1
    expect(await ask()).toBe(2)
    const [key = ''] = (await keysOf()).filter((name) => name.includes(':v:'))
    expect(await at.server.client.pttl(key)).toBeGreaterThan(86_000_000)
  })

  it('gives an old value while one caller makes a new one', async () => {
    const engine = await fresh()
    let computed = 0
    let finish = () => {}
    const ask = () =>
      engine.of('T1').getOrCompute(
        'k',
        async () => {
          computed++
          if (computed > 1)
            await new Promise<void>((resolve) => {
              finish = resolve
            })
          return computed
        },
        { ttl: '1m', stale: '10m' },
      )
    expect(await ask()).toBe(1)
    at.time += 60_000
    expect(await Promise.all([ask(), ask(), ask()])).toEqual([1, 1, 1])
    await until(() => computed === 2, 'the new one is being made')
    finish()
    await until(async () => (await ask()) === 2, 'the new one is there')
    expect(computed).toBe(2)
  })

  it('has a time to live on every key it leaves', async () => {
    const cache = (await fresh()).of('T1')
    await cache.getOrCompute('a', () => 1, { tags: ['x', 'y'] })
    await cache.set('b', 2, { tags: ['x'] })
    await cache.cached((n: number) => n, { name: 'fn' })(1)
    await cache.invalidate({ tag: 'y' })
    await cache.invalidate({ pattern: 'z*' })
    await at.opened[0]?.flush()
    const found = await keysOf()
    expect(found.length).toBeGreaterThan(6)
    for (const key of found) expect([key, await at.server.client.pttl(key)]).toEqual([key, expect.any(Number)])
    for (const key of found) expect(await at.server.client.pttl(key), key).toBeGreaterThan(0)
  })
})
