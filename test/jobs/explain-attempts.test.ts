import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { defer, RateLimited } from '../../src/index.ts'
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

it('says why a job is dead that was not failed by its handler', async () => {
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
    code: 'dead',
    words: expect.stringContaining('expired: not started in time'),
  })
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
