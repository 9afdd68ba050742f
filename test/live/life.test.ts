import { afterEach, describe, expect, it } from 'vitest'
import { adminKey, tenantKey, viewerKey } from '../harness/app.ts'
import { type Listener, listen } from '../harness/listen.ts'
import { heardNumbers, type LiveStage, startLive } from '../harness/live.ts'
import { signIn } from '../harness/session.ts'
import { until } from '../harness/until.ts'

let stage: LiveStage
afterEach(() => stage?.end())

const url = () => stage.apps[0]?.url ?? ''
const open = async (query: string, options: Parameters<typeof listen>[2] = {}): Promise<Listener> => {
  const listener = await listen(url(), query, options)
  await listener.placed
  return listener
}
const ask = (path: string, key = adminKey, init: RequestInit = {}) =>
  fetch(`${url()}/api${path}`, { ...init, headers: { authorization: `Bearer ${key}` } })

describe('tenants', () => {
  it('hear nothing of each other, whatever they ask for', async () => {
    stage = await startLive({
      env: {
        API_KEYS: JSON.stringify([
          { key: 'a-long-enough-key-of-a', name: 'a', role: 'admin', tenant: 'A' },
          { key: 'a-long-enough-key-of-b', name: 'b', role: 'admin', tenant: 'B' },
          { key: 'a-long-enough-key-of-star', name: 'star', role: 'viewer', tenant: '* ' },
          { key: adminKey, name: 'all', role: 'admin' },
        ]),
      },
    })
    const [a, b, star, all, some] = await Promise.all([
      open('topic=>', { key: 'a-long-enough-key-of-a' }),
      open('topic=>&topic=*.*&topic=jobs.>', { key: 'a-long-enough-key-of-b' }),
      open('topic=>', { key: 'a-long-enough-key-of-star' }),
      open('topic=>'),
      open('topic=>&tenant=A'),
    ])
    for (const tenant of ['A', 'B', '*', '* ', '', undefined, 'a', 'A:B'])
      await stage.publish(tenant, 'said.by', tenant ?? 'nobody')
    await stage.publish('B', 'the.end', 'end')
    await stage.publish('A', 'the.end', 'end')
    await stage.publish('* ', 'the.end', 'end')
    const heard = async (listener: Listener, count: number) =>
      (await listener.hears(count)).map(({ tenant, data }) => [tenant, data])
    await all.hears(11)
    expect(await heard(a, 2)).toEqual([
      ['A', 'A'],
      ['A', 'end'],
    ])
    expect(await heard(b, 2)).toEqual([
      ['B', 'B'],
      ['B', 'end'],
    ])
    expect(await heard(star, 2)).toEqual([
      ['* ', '* '],
      ['* ', 'end'],
    ])
    expect(await heard(some, 2)).toEqual([
      ['A', 'A'],
      ['A', 'end'],
    ])
    expect((await ask('/stream?topic=>&tenant=A', 'a-long-enough-key-of-b')).status).toBe(404)
    // The same when they come back with an id that another was given.
    const stolen = await listen(url(), 'topic=>', { key: 'a-long-enough-key-of-b', lastId: a.events[0]?.id ?? '' })
    expect(await heard(stolen, 2)).toEqual([
      ['B', 'B'],
      ['B', 'end'],
    ])
    for (const one of [a, b, star, all, some, stolen]) one.hangUp()
  })
})

describe('a client that does not read', () => {
  it('is cut off, the others go on, and it comes back for the rest', async () => {
    stage = await startLive()
    const [slow, quick] = await Promise.all([open('topic=big'), open('topic=big')])
    slow.stopReading()
    const filler = 'x'.repeat(60_000)
    const total = 200
    for (let n = 0; n < total; n += 1) await stage.publish(undefined, 'big', [n, filler])
    await quick.hears(total)
    expect(quick.events.map(({ data }) => (data as unknown[])[0])).toEqual(Array.from({ length: total }, (_, n) => n))
    await until(async () => (await stage.metric('millrace_stream_ended_total{reason="slow"}')) === 1, 'it is cut off')
    expect(await stage.metric('millrace_stream_clients')).toBe(1)

    const back = await listen(url(), 'topic=big', { lastId: slow.lastId(), events: slow.events })
    await until(() => (back.events.at(-1)?.data as unknown[] | undefined)?.[0] === total - 1, 'it has heard the last')
    expect(back.events.map(({ data }) => (data as unknown[])[0])).toEqual(Array.from({ length: total }, (_, n) => n))
    back.hangUp()
    quick.hangUp()
  })

  it('holds no more than it is allowed, when it missed more than that', async () => {
    stage = await startLive()
    const before = await open('topic=big')
    for (let n = 0; n < 200; n += 1) await stage.publish(undefined, 'big', 'x'.repeat(60_000))
    const late = await listen(url(), 'topic=big', { lastId: before.lastId() })
    late.stopReading()
    await stage.publish(undefined, 'big', 'end')
    await before.hears(201)
    // It is being told of what it missed, at its own pace.
    expect(await stage.metric('millrace_stream_ended_total{reason="slow"}')).toBe(0)
    expect(await stage.metric('millrace_stream_clients')).toBe(2)
    for (const one of [before, late]) one.hangUp()
  })
})

describe('with the cache store away', () => {
  it('streams stay open, begin, and go on; nobody who publishes waits', async () => {
    stage = await startLive()
    const staying = await open('topic=n')
    await stage.publish(undefined, 'n', 0)
    await staying.hears(1)
    await stage.cache.kill()
    const coming = await listen(url(), 'topic=n', { lastId: staying.lastId() })
    expect(coming.status).toBe(200)
    const refused = await ask('/publish', adminKey, { method: 'POST', body: '{"topic":"n"}' })
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '2'])
    const signs = (listener: Listener) => listener.text().split(':\n').length - 1
    const [one, two] = [signs(staying), signs(coming)]
    await until(() => signs(staying) > one && signs(coming) > two, 'both get signs of life')
    await stage.cache.restart()
    await stage.publish(undefined, 'n', 1)
    await staying.hears(2)
    await coming.hears(1)
    expect([heardNumbers(staying.events), heardNumbers(coming.events)]).toEqual([[0, 1], [1]])
    for (const listener of [staying, coming]) listener.hangUp()
  })

  it('or hanging, they go on as well', async () => {
    stage = await startLive()
    const staying = await open('topic=n')
    stage.cache.signal('SIGSTOP')
    const coming = await listen(url(), 'topic=n', { lastId: staying.lastId() })
    const before = staying.text().length
    await until(() => staying.text().length > before, 'a sign of life')
    stage.cache.signal('SIGCONT')
    await stage.publish(undefined, 'n', 1)
    await Promise.all([staying.hears(1), coming.hears(1)])
    for (const listener of [staying, coming]) listener.hangUp()
  })
})

describe('the end of a stream', () => {
  it('comes when the process stops, and at once', async () => {
    stage = await startLive()
    const listener = await open('topic=n')
    const began = Date.now()
    const stopped = stage.apps[0]?.stop(Date.now() + 10_000)
    await listener.ended
    await stopped
    expect(Date.now() - began).toBeLessThan(8_000)
    await expect(listen(url(), 'topic=n')).rejects.toThrow()
  })

  it('comes when the session ends', async () => {
    stage = await startLive()
    const { cookie } = await signIn(url(), viewerKey)
    const [browser, program] = await Promise.all([open('topic=n', { headers: { cookie } }), open('topic=n')])
    await fetch(`${url()}/dashboard/sign-out`, {
      method: 'POST',
      headers: { cookie, origin: url() },
      redirect: 'manual',
    })
    await browser.ended
    await stage.publish(undefined, 'n', 1)
    await program.hears(1)
    expect(browser.events).toEqual([])
    expect(await stage.metric('millrace_stream_ended_total{reason="not-allowed"}')).toBe(1)
    program.hangUp()
  })

  it('is no matter of how many requests a key may make', async () => {
    stage = await startLive({ env: { API_RATE: '2/1m' } })
    const listeners = await Promise.all(Array.from({ length: 5 }, () => open('topic=n')))
    const asked = await Promise.all([1, 2, 3].map(async () => (await ask('/queues')).status))
    expect(asked.sort()).toEqual([200, 200, 429])
    for (const listener of listeners) listener.hangUp()
  })

  it('is a refusal from the beginning, when there are too many', async () => {
    stage = await startLive({ env: { LIVE_CLIENTS: '2' } })
    const [one, two] = await Promise.all([open('topic=n'), open('topic=n', { key: tenantKey })])
    const refused = await ask('/stream?topic=n')
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5'])
    expect(await refused.json()).toMatchObject({ code: 'overloaded', detail: '2 listen already' })
    one.hangUp()
    await until(async () => (await stage.metric('millrace_stream_clients')) === 1, 'one has left')
    const three = await open('topic=n')
    for (const listener of [two, three]) listener.hangUp()
  })
})
