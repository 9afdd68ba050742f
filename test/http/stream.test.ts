import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { apiOf } from '../harness/api.ts'
import { operatorKey, tenantKey, viewerKey } from '../harness/app.ts'
import { listen } from '../harness/listen.ts'
import { type OneQueue, startOneQueue } from '../harness/one-queue.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { signIn } from '../harness/session.ts'
import { until } from '../harness/until.ts'

let redis: TestRedis
let at: OneQueue
let fail = false
beforeAll(async () => {
  redis = await startRedis()
  at = await startOneQueue(
    redis.url,
    async ({ payload }, { publish }) => {
      if (fail) throw new Error('as it was told')
      await publish(`numbers.${payload.n}`, { seen: payload.n })
    },
    { env: { LIVE_HEARTBEAT: '1s' }, queue: { retry: { attempts: 1 } } },
  )
})
afterAll(async () => {
  await at.app.close()
  await redis.stop()
})

const { ask, read } = apiOf(() => at.app)
const publish = (body: unknown, key = operatorKey) =>
  ask('/publish', { method: 'POST', body: JSON.stringify(body), key })
const problem = async (query: string, headers = {}) =>
  read<{ status: number; code: string; detail: string }>(`/stream?${query}`, { headers })

describe('who listens', () => {
  it('hears what is published to the topics he asked for, and nothing else', async () => {
    const listener = await listen(at.app.url, 'topic=orders.*.paid&topic=news.>')
    expect([listener.status, listener.headers['content-type']]).toEqual([200, 'text/event-stream; charset=utf-8'])
    expect(listener.headers).toMatchObject({ 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
    await listener.placed
    for (const topic of [
      'orders.7.paid',
      'orders.7.sent',
      'orders.paid',
      'news',
      'news.a',
      'news.a.b',
      'orders.8.paid',
    ])
      expect((await publish({ topic, data: { of: topic } })).status).toBe(201)
    await listener.hears(4)
    expect(listener.events.map(({ topic, data }) => [topic, data])).toEqual(
      ['orders.7.paid', 'news.a', 'news.a.b', 'orders.8.paid'].map((topic) => [topic, { of: topic }]),
    )
    expect(listener.text()).toMatch(/^retry: \d{4}\n\n/)
    listener.hangUp()
  })

  it('hears what handlers publish, and what becomes of the jobs, in its order', async () => {
    const listener = await listen(at.app.url, 'topic=numbers.>&topic=jobs.work.*', { key: tenantKey })
    await listener.placed
    const { id } = await at.enqueue(41, { tenant: 'T-ONE' })
    await at.enqueue(42, { tenant: 'T-TWO' })
    await at.enqueue(43)
    await listener.hears(1, ({ topic }) => topic === 'jobs.work.completed')
    fail = true
    const { id: bad } = await at.enqueue(44, { tenant: 'T-ONE' })
    await listener.hears(1, ({ topic }) => topic === 'jobs.work.failed')
    fail = false
    const jobs = listener.events.filter(({ topic }) => topic.startsWith('jobs.'))
    expect(jobs.map(({ topic, tenant, data }) => [topic, tenant, (data as { id: string }).id])).toEqual(
      [id, bad].flatMap((job) =>
        ['waiting', 'active', job === id ? 'completed' : 'failed'].map((state) => [`jobs.work.${state}`, 'T-ONE', job]),
      ),
    )
    expect(jobs.at(-1)?.data).toMatchObject({ queue: 'work', state: 'failed', reason: 'as it was told' })
    expect(listener.events.filter(({ topic }) => topic.startsWith('numbers.'))).toMatchObject([
      { topic: 'numbers.41', tenant: 'T-ONE', data: { seen: 41 } },
    ])
    listener.hangUp()
  })

  it('comes back with the last id and misses nothing, of jobs either', async () => {
    const first = await listen(at.app.url, 'topic=>')
    await first.placed
    await publish({ topic: 'a.1', data: 1 })
    await first.hears(1)
    first.hangUp()
    await publish({ topic: 'a.2', data: 2 })
    const { id } = await at.enqueue(5, { tenant: 'T-ONE' })
    await at.jobIn(id, 'completed')
    const second = await listen(at.app.url, 'topic=>', { lastId: first.lastId() })
    await second.placed
    await publish({ topic: 'a.3', data: 3 })
    await second.hears(6)
    expect(second.events.map(({ topic }) => topic).filter((topic) => !topic.startsWith('jobs.'))).toEqual([
      'a.2',
      'numbers.5',
      'a.3',
    ])
    expect(second.events.map(({ topic }) => topic).filter((topic) => topic.startsWith('jobs.'))).toEqual(
      ['waiting', 'active', 'completed'].map((state) => `jobs.work.${state}`),
    )
    second.hangUp()
  })

  it('gets signs of life, and with them a newer place', async () => {
    const listener = await listen(at.app.url, 'topic=silence')
    await listener.placed
    const before = listener.lastId()
    await publish({ topic: 'not.silence' })
    await until(() => listener.lastId() !== before && listener.text().includes(':\nid: '), 'a heartbeat brings an id')
    expect(listener.events).toEqual([])
    listener.hangUp()
  })
})

describe('who may', () => {
  it('asks with a key or a session', async () => {
    expect(await read('/stream?topic=a', { key: 'guessed' })).toMatchObject({ status: 401 })
    const { cookie } = await signIn(at.app.url, viewerKey)
    const listener = await listen(at.app.url, 'topic=a.b', { headers: { cookie } })
    expect(listener.status).toBe(200)
    await listener.placed
    await publish({ topic: 'a.b', data: 'x' })
    await listener.hears(1)
    listener.hangUp()
  })

  it('publishes as an operator, for his own tenant', async () => {
    expect((await publish({ topic: 'a.b' }, viewerKey)).status).toBe(403)
    expect((await publish({ topic: 'a.b', tenant: 'T-TWO' }, tenantKey)).status).toBe(404)
  })
})

describe('a mistake is named', () => {
  it.each([
    ['', 'say what you want to hear'],
    ['topic=', 'words of letters'],
    ['topic=a..b', 'words of letters'],
    ['topic=a.>.b', 'nothing can follow it'],
    ['topic=a%20b', 'words of letters'],
    [`topic=${'a.'.repeat(9)}a`, 'at most 8 words'],
    [`topic=${'a'.repeat(201)}`, 'at most 200 characters'],
    [Array.from({ length: 21 }, (_, i) => `topic=t${i}`).join('&'), '21 topics; at most 20'],
    ['topic=jobs', 'write jobs.<queue>.<state>'],
    ['topic=jobs.work', 'write jobs.<queue>.<state>'],
    ['topic=jobs.work.dead', 'dead is none of waiting, active'],
    ['topic=a&topics=b', 'topics'],
    ['topic=a&tenant=', 'tenant'],
  ])('in %s', async (query, words) => {
    const { status, code, detail } = await problem(query)
    expect([status, code]).toEqual([400, 'bad-request'])
    expect(detail).toContain(words)
  })

  it('in the name of a queue', async () => {
    expect(await problem('topic=jobs.wrok.*')).toMatchObject({ status: 404, code: 'unknown-queue' })
  })

  it.each(['x', '1!', '1AAAA', 'Ä', '0AAAAAAAAAAAAAAAA', `1${'A'.repeat(9_000)}`])(
    'in Last-Event-ID: %s',
    async (id) => {
      const { status, detail } = await problem('topic=a', { 'last-event-id': Buffer.from(id).toString('latin1') })
      expect([status, detail]).toEqual([400, expect.stringContaining('Last-Event-ID')])
    },
  )

  it.each([
    [{ topic: 'a b' }, 422, 'topic "a b": words of 1 to 64 letters'],
    [{ topic: 'jobs.work.completed' }, 422, "what begins with 'jobs.' is told by the queues"],
    [{ topic: 'a.*' }, 422, 'words of 1 to 64 letters'],
    [{ topic: 'a.b', data: 'x'.repeat(65_535) }, 422, '65537 bytes of JSON; at most 65536'],
    [{ topic: 'a.b', data: 'x'.repeat(600_000) }, 413, ''],
    [{ data: 1 }, 400, 'topic'],
    [{ topic: 'a', more: 1 }, 400, 'more'],
  ])('in a message %#', async (body, status, words) => {
    const response = await publish(body)
    const { detail = '' } = (await response.json()) as { detail?: string }
    expect([response.status, detail]).toEqual([status, expect.stringContaining(words)])
  })

  it('in the method', async () => {
    const response = await ask('/stream?topic=a', { method: 'POST' })
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
    expect((await ask('/stream?topic=a', { method: 'HEAD' })).status).toBe(200)
  })
})
