import { describe, expect, it } from 'vitest'
import { defineWarmer } from '../../src/index.ts'
import { cacheStage } from './stage.ts'

// Next to nothing: each use is written down.
const at = cacheStage({ random: () => Number.EPSILON })
const { open, fresh, keysOf } = at
const fast = { perSecond: 1_000 }

describe('warming', () => {
  it('computes what tenants used most, after a restart by warmers alone', async () => {
    const computed: string[] = []
    const channels = defineWarmer({
      name: 'channels',
      ttl: '10m',
      compute: (team: string) => {
        computed.push(team)
        return [`general of ${team}`]
      },
      always: [['everybody']],
    })
    const before = await fresh()
    for (const tenant of ['T1', 'T*']) {
      const ask = before.of(tenant).cached(channels.compute, channels)
      for (let i = 0; i < 3; i++) await ask(`often-${tenant}`)
      await ask(`once-${tenant}`)
      const number = before.of(tenant).cached((n: number) => n, { name: 'numbers' })
      for (let i = 0; i < 2; i++) await number(1)
    }
    await before.flush()
    at.time += 23 * 3_600_000
    await at.server.client.del(...(await keysOf('cache:v:*')))
    computed.length = 0
    const after = await open()
    const report = await after.of(undefined).warm({ ...fast, warmers: [channels], top: 2 })
    expect(report).toMatchObject({ tenants: 2, warmed: 4, fresh: 0, unknown: 2, failed: 0, busy: 0 })
    expect(computed.sort()).toEqual(['everybody', 'everybody', 'often-T*', 'often-T1'])
    expect(await after.of('T*').cached(channels.compute, channels)('often-T*')).toEqual(['general of often-T*'])
    expect(computed.length).toBe(4)
    expect(await after.of(undefined).warm({ ...fast, warmers: [channels], top: 1 })).toMatchObject({
      warmed: 0,
      fresh: 4,
    })
    expect(await after.of(undefined).warm({ ...fast, warmers: [channels], names: ['numbers'] })).toMatchObject({
      warmed: 0,
      fresh: 0,
      unknown: 2,
    })
    // A day later nobody remembers.
    at.time += 26 * 3_600_000
    expect(await (await open()).of('T1').warm(fast)).toMatchObject({ unknown: 0 })
    const named = { ...fast, warmers: [{ ...channels, always: [] }], names: ['channels', 'chanels'] }
    expect(await (await open()).of('T1').warm(named)).toMatchObject({ warmed: 0, unknown: 1 })
  })

  it('reports what fails and goes on', async () => {
    const engine = await fresh()
    let isBroken = false
    const ask = engine.of('T1').cached(
      (n: number) => {
        if (isBroken && n === 1) throw new Error('no luck')
        return n
      },
      { name: 'numbers' },
    )
    for (const n of [1, 1, 2]) await ask(n)
    await engine.flush()
    isBroken = true
    at.time += 290_000
    const report = await engine.of('T1').warm(fast)
    expect(report).toMatchObject({ tenants: 1, warmed: 1, failed: 1, errors: ['numbers: no luck'] })
  })

  it('never takes the place of what is newer', async () => {
    const engine = await fresh()
    const cache = engine.of('T1')
    let isSlow = false
    const ask = cache.cached(
      async () => {
        if (!isSlow) return 'first'
        await cache.namespace('k').set('only', 'set meanwhile')
        return 'warmed'
      },
      { name: 'k', key: () => 'only' },
    )
    await ask()
    await engine.flush()
    isSlow = true
    at.time += 290_000
    expect(await cache.warm(fast)).toMatchObject({ warmed: 0, busy: 1 })
    expect(await (await open()).of('T1').namespace('k').get('only')).toBe('set meanwhile')
  })

  it('keeps to its rate', async () => {
    const engine = await fresh()
    const ask = engine.of('T1').cached((n: number) => n, { name: 'numbers' })
    for (let n = 0; n < 5; n++) await ask(n)
    await engine.flush()
    at.time += 290_000
    const report = await engine.of('T1').warm({ perSecond: 20 })
    expect(report.warmed).toBe(5)
    expect(report.tookMs).toBeGreaterThanOrEqual(5 * 50 - 10)
  })

  it('is of its own tenant, stops when it is told, and says that the store is away', async () => {
    const engine = await fresh()
    const ask = engine.of('T1').cached((n: number) => n, { name: 'numbers' })
    await ask(1)
    await engine.flush()
    await expect(engine.of('T2').warm({ tenant: 'T1' })).rejects.toMatchObject({ code: 'forbidden' })
    expect(await engine.of('T2').warm(fast)).toMatchObject({ tenants: 1, fresh: 0 })
    expect(await engine.of(undefined).warm({ ...fast, tenant: 'T1' })).toMatchObject({ tenants: 1, fresh: 1 })
    await expect(engine.of('T1').warm({ signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow('enough')
    engine.core.store.redis.disconnect()
    await expect(engine.of('T1').warm()).rejects.toThrow()
  })
})
