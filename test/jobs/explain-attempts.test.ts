import { once } from 'node:events'
import { FlowProducer } from 'bullmq'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { defer, drop, RateLimited } from '../../src/index.ts'
import { cancelJob } from '../../src/jobs/actions.ts'
import { explainJob } from '../../src/jobs/explain.ts'
import { type OneQueue, startOneQueue } from '../harness/one-queue.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'
import { gated, items, useStore } from './gate/harness.ts'

/* What an attempt leaves in its job is what explain says of it. */

useStore()
let redis: TestRedis
let one: OneQueue | undefined
beforeAll(async () => {
  redis = await startRedis()
})
afterEach(async () => {
  await one?.app.close()
  one = undefined
})
afterAll(() => redis.stop())

it.each([
  [
    'backoff',
    () => Promise.reject(new Error('the other side is down')),
    /^Attempt 1 of 3 failed: the other side is down\. It is tried again in (?:1h|60m|59\.\dm)\./,
  ],
  [
    'deferred',
    () => defer('1h', 'the order is locked'),
    /^Its worker put it off: the order is locked\. .* in (?:1h|60m|59\.\dm)\.$/,
  ],
  ['deferred', () => defer('1h'), /^Its worker put it off: not yet\./],
  [
    'rate-limited',
    () => Promise.reject(new RateLimited('1h', 'api.example')),
    /^A third party asked for a pause \(api\.example\)\. It comes again in (?:1h|60m|59\.\dm)\.$/,
  ],
] as const)('says %s, and until when', async (code, handle, words) => {
  one = await startOneQueue(redis.url, handle as () => Promise<never>, {
    queue: { retry: { attempts: 3, base: '1h', max: '1h', jitter: 0 } },
  })
  const { id } = await one.enqueue()
  await one.jobIn(id, 'delayed')
  const said = await explainJob(one.bull, id)
  expect(said).toMatchObject({ code, words: expect.stringMatching(words) })
  expect(Math.abs(Date.parse(said.until ?? '') - (await one.backAt(id)))).toBeLessThan(1_000)
})

it('says of which version a job is that nobody here knows', async () => {
  one = await startOneQueue(redis.url, () => {})
  const newer = await one.bull.add('x', { n: 1 }, { meta: { v: 7 } } as object)
  await one.jobIn(newer.id ?? '', 'delayed')
  expect(await explainJob(one.bull, newer.id ?? '')).toMatchObject({
    code: 'newer-version',
    words: expect.stringContaining('of version 7'),
  })
})

it('says that the breaker is open, and then that one is tried', async () => {
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  let isProbing = false
  one = await startOneQueue(
    redis.url,
    async ({ payload }) => {
      if (payload.n === 1) throw new Error('down')
      isProbing = true
      await held
    },
    { queue: { retry: { attempts: 1 }, breaker: { least: 1, open: '2s' } }, worker: { concurrency: 1 } },
  )
  await one.enqueue(1)
  const explained = async (id: string) => (one ? explainJob(one.bull, id) : undefined)
  await until(() => redis.client.exists(`${one?.app.prefix}:work:breaker`), 'it is open')
  const [second, third] = [await one.enqueue(2), await one.enqueue(3)]
  expect(await explained(third.id)).toMatchObject({ code: 'breaker-open', facts: { breaker: 'open' } })
  await until(() => isProbing, 'one is tried')
  const waiting = (await explained(second.id))?.code === 'running' ? third : second
  expect(await explained(waiting.id)).toMatchObject({ code: 'breaker-open', facts: { breaker: 'half-open' } })
  release()
  await one.jobIn(second.id, 'completed')
  await one.jobIn(third.id, 'completed')
})

it('says that a job waits for those that it depends on', async () => {
  one = await startOneQueue(redis.url, () => {})
  const flows = new FlowProducer({ connection: redis.client, prefix: one.app.prefix })
  const child = { name: 'child', queueName: 'work', data: { n: 2 }, opts: { delay: 3_600_000 } }
  const { job } = await flows.add({ name: 'parent', queueName: 'work', data: { n: 1 }, children: [child] })
  await flows.close()
  expect(await explainJob(one.bull, job.id ?? '')).toMatchObject({ code: 'waiting-for-children' })
})

it('says that a job was not started in time', async () => {
  one = await startOneQueue(redis.url, () => {}, { queue: { expires: '1ms' } })
  await one.bull.pause()
  const late = await one.enqueue()
  await until(
    async () => Date.now() > Number(await redis.client.hget(`${one?.bull.toKey(late.id)}`, 'timestamp')) + 1,
    '',
  )
  await one.bull.resume()
  await one.jobIn(late.id, 'failed')
  expect(await explainJob(one.bull, late.id)).toMatchObject({
    code: 'expired',
    words: expect.stringContaining('expired: not started in time'),
  })
})

it.each([
  ['dead', () => Promise.reject(new Error('down')), { n: 1 }, /down\. .* after 1 of 1 attempts/],
  ['dropped', () => drop('no such order'), { n: 1 }, /no such order/],
  ['unfit', () => {}, { not: 'fitting' }, /stored payload/],
] as const)('says that a job is %s, and why', async (code, handle, payload, words) => {
  one = await startOneQueue(redis.url, handle as () => Promise<never>, { queue: { retry: { attempts: 1 } } })
  const { id = '' } = await one.bull.add('x', payload)
  await one.jobIn(id, 'failed')
  expect(await explainJob(one.bull, id)).toMatchObject({ code, words: expect.stringMatching(words) })
})

it('says who cancelled a job, in hand or not', async () => {
  one = await startOneQueue(redis.url, (_job, { signal }) => once(signal, 'abort'))
  const cancelled = { actor: { name: 'ada' }, prefix: one.app.prefix }
  const ids = [(await one.enqueue()).id, (await one.enqueue(2, { delay: '1h' })).id]
  await one.jobIn(ids[0] ?? '', 'active')
  for (const id of ids) {
    await cancelJob(one.bull, id, cancelled)
    await one.jobIn(id, 'failed')
    expect(await explainJob(one.bull, id)).toMatchObject({
      code: 'cancelled',
      words: expect.stringContaining('by ada'),
    })
  }
})

it('holds back the other jobs of a key that is rate limited, and no other key, where the queue is limited by key', async () => {
  const done: string[] = []
  let limited = 0
  const { enqueue, work, bull } = await gated(
    { limit: { max: 1_000, per: '1s', by: ({ key }: { key: string }) => key } },
    async ({ payload: { key, n } }) => {
      if (key === 'a' && limited++ === 0) throw new RateLimited('1h')
      done.push(`${key}${n}`)
    },
    { concurrency: 1 },
  )
  const [first, second] = await enqueue(items('a', 2))
  await enqueue(items('b', 5))
  await work()
  await until(() => done.length === 5, "all of the other key's are done")
  expect(done).toEqual(['b0', 'b1', 'b2', 'b3', 'b4'])
  expect(await explainJob(bull, first?.id ?? '')).toMatchObject({ code: 'rate-limited' })
  expect(await explainJob(bull, second?.id ?? '')).toMatchObject({ code: 'key-limited', facts: { key: 'a' } })
  expect(limited).toBe(1)
})
