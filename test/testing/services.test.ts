import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineQueue, defineWorker, type Services } from '../../src/index.ts'
import { fakeServices, runWorker, virtualTime } from '../../src/testing.ts'

const queue = defineQueue({ name: 'visits', payload: z.object({ by: z.string() }) })

/** A kit whose clock the test moves. */
function kit() {
  let at = 1_000_000
  const services = fakeServices({ now: () => at })
  const pass = (ms: number) => {
    at += ms
  }
  return { services, of: services.of, pass }
}

describe('runWorker', () => {
  const visits = defineWorker(queue, async ({ payload }, { sessions, publish, cache }) => {
    const { messages } = await sessions.update('s', () => ({ messages: [{ role: 'user', text: payload.by }] }))
    await publish('visits', { seen: messages.length })
    return cache.getOrCompute('first', () => payload.by)
  })

  it('gives each run services of its own, and shows what was done with them', async () => {
    for (const by of ['ada', 'bob']) {
      const ran = await runWorker(visits, { by }, { tenant: 'T' })
      expect(ran.result).toBe(by)
      expect(ran.published).toMatchObject([{ tenant: 'T', topic: 'visits', data: { seen: 1 } }])
      expect(ran.services.cached).toMatchObject([{ tenant: 'T', key: 'first', value: by }])
      expect(ran.services.sessions).toMatchObject([{ id: 's', tenant: 'T', version: 1 }])
    }
  })

  it('shares a kit that several runs are given; what was published is of this run', async () => {
    const services = fakeServices()
    await runWorker(visits, { by: 'ada' }, { services })
    const second = await runWorker(visits, { by: 'bob' }, { services })
    expect(second.result).toBe('ada')
    expect(second.published.map(({ data }) => data)).toEqual([{ seen: 2 }])
    expect(services.published).toHaveLength(2)
  })

  it('takes a service of the test in the place of ours', async () => {
    const publish: Services['publish'] = () => Promise.reject(new Error('no line'))
    const ran = await runWorker(visits, { by: 'ada' }, { services: { publish } })
    expect(ran).toMatchObject({ outcome: 'failed', error: { message: 'no line' } })
    expect(ran.services.sessions).toHaveLength(1)
  })

  it('keeps them from attempt to attempt on a virtual clock', async () => {
    const limited = defineWorker(queue, async (_job, { limits }) => {
      const { ok } = await limits.take('once', { max: 1, per: '10s' })
      if (!ok) throw new Error('too often')
    })
    const time = virtualTime()
    await time.run(limited, { by: 'ada' })
    const second = await time.run(limited, { by: 'ada' })
    expect(second.attempts.map(({ outcome }) => outcome)).toEqual(['failed'])
    await time.advance('1h')
    expect(second.state).toBe('completed')
    expect(time.services.taken[0]).toMatchObject({ name: 'once', ok: true })
  })
})

describe('cache', () => {
  it('expires by the clock, and by none of the presets sooner or later', async () => {
    const { of, pass, services } = kit()
    const { cache } = of('T')
    const ttls = { short: 60, medium: 300, long: 900, hour: 3_600, day: 86_400 } as const
    for (const ttl of Object.keys(ttls) as (keyof typeof ttls)[]) await cache.set(ttl, 1, { ttl })
    expect(services.cached.map(({ key, expiresAt }) => [key, (expiresAt - 1_000_000) / 1_000])).toEqual(
      Object.entries(ttls),
    )
    pass(59_999)
    expect(await cache.get('short')).toBe(1)
    pass(1)
    expect(await cache.get('short')).toBeUndefined()
  })

  it('computes once for all who ask at the same time, and keeps no failure', async () => {
    const { cache } = kit().of('T')
    let computed = 0
    const slow = async () => {
      await Promise.resolve()
      computed += 1
      if (computed === 1) throw new Error('not yet')
      return computed
    }
    const all = () => Promise.allSettled([1, 2, 3].map(() => cache.getOrCompute('k', slow)))
    expect((await all()).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    expect(await all()).toMatchObject([{ value: 2 }, { value: 2 }, { value: 2 }])
  })

  it('gives a stale value while it computes a new one', async () => {
    const { of, pass } = kit()
    const { cache } = of('T')
    const get = (value: number) => cache.getOrCompute('k', () => value, { ttl: '1s', stale: '1s' })
    expect(await get(1)).toBe(1)
    pass(1_500)
    expect(await get(2)).toBe(1)
    expect(await get(3)).toBe(2)
    pass(2_000)
    expect(await get(4)).toBe(4)
  })

  it('remembers for half a minute that there is none, or as long as it is told', async () => {
    const { of, pass } = kit()
    const { cache } = of('T')
    const asked: string[] = []
    const none = (key: string, negative?: '0s') =>
      cache.getOrCompute(key, () => void asked.push(key), negative === undefined ? {} : { negative })
    for (const key of ['a', 'a', 'b', 'b']) await none(key, key === 'b' ? '0s' : undefined)
    expect(asked).toEqual(['a', 'b', 'b'])
    pass(30_000)
    await none('a')
    expect(asked).toHaveLength(4)
  })

  it('invalidates by tag and by pattern, of one tenant, in which only * is special', async () => {
    const { of, services } = kit()
    for (const tenant of ['a', 'b']) {
      const tools = of(tenant).cache.namespace('tools')
      for (const key of ['notion__x', 'notion_.x', 'slack__y']) await tools.set(key, 1, { tags: [key.slice(0, 5)] })
    }
    expect(await of('a').cache.namespace('tools').invalidate({ pattern: 'notion_.*' })).toBe(1)
    expect(await of('a').cache.namespace('tools').invalidate({ tag: 'slack' })).toBe(1)
    expect(services.cached.filter(({ tenant }) => tenant === 'a').map(({ key }) => key)).toEqual(['tools:notion__x'])
    expect(services.cached.filter(({ tenant }) => tenant === 'b')).toHaveLength(3)
  })

  it('wraps a function, whatever the order of the properties it is given', async () => {
    const { cache } = kit().of('T')
    let calls = 0
    const sum = ({ a, b }: { a: number; b: number }) => {
      calls += 1
      return a + b
    }
    const add = cache.cached(sum, { name: 'add' })
    expect([await add({ a: 1, b: 2 }), await add({ b: 2, a: 1 }), await add({ a: 2, b: 2 })]).toEqual([3, 3, 4])
    expect(calls).toBe(2)
  })
})

describe('sessions, limits and breakers', () => {
  it('keeps 50 messages and 20 tool runs, and counts versions from 1', async () => {
    const { sessions } = kit().of('T')
    const add = (text: string) =>
      sessions.update('s', () => ({
        messages: [{ role: 'user', text }],
        toolRuns: [{ tool: text, ok: true, ms: 1 }],
        data: { [text]: 1 },
      }))
    expect((await add('0')).version).toBe(1)
    for (let n = 1; n < 60; n++) await add(String(n))
    const session = await sessions.get('s')
    expect([session?.messages.length, session?.messages[0]?.text, session?.messages.at(-1)?.text]).toEqual([
      50,
      '10',
      '59',
    ])
    expect([session?.toolRuns.length, session?.toolRuns[0]?.tool]).toEqual([20, '40'])
    expect(Object.keys(session?.data ?? {})).toHaveLength(60)
    expect(await kit().of('U').sessions.get('s')).toBeUndefined()
  })

  it('lets through never more than the limit in any window, and tells when to come back', async () => {
    const { of, pass } = kit()
    const take = () => of('T').limits.take('x', { max: 2, per: '10s' })
    expect([(await take()).ok, (await take()).ok]).toEqual([true, true])
    pass(4_000)
    expect(await take()).toMatchObject({ ok: false, remaining: 0, retryAfterMs: 6_000 })
    expect((await of('U').limits.take('x', { max: 2, per: '10s' })).ok).toBe(true)
    pass(6_000)
    expect((await take()).ok).toBe(true)
  })

  it('opens after five failures in a row, and closes after two successes a minute later', async () => {
    const { of, pass, services } = kit()
    const call = (isBroken: boolean) =>
      of('T')
        .breakers.run('out', async () => {
          if (isBroken) throw new Error('500')
          return 'ok'
        })
        .catch((error: { code?: string; message: string }) => error.code ?? error.message)
    for (let n = 0; n < 5; n++) expect(await call(true)).toBe('500')
    expect(await call(false)).toBe('breaker-open')
    pass(60_000)
    expect([await call(true), await call(false)]).toEqual(['500', 'breaker-open'])
    pass(60_000)
    expect([await call(false), await call(false), await call(true), await call(false)]).toEqual([
      'ok',
      'ok',
      '500',
      'ok',
    ])
    expect(services.calls.filter(({ outcome }) => outcome === 'refused')).toHaveLength(2)
  })
})
