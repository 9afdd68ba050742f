import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import type { Handler } from '../../src/define/worker.ts'
import { defer, defineQueue, drop, MillraceError, type Queue } from '../../src/index.ts'
import { Chain } from '../../src/jobs/chain.ts'
import { jobsOf } from '../harness/jobs.ts'
import { type Numbered, numbered, type OneQueue, type OneQueueOptions, startOneQueue } from '../harness/one-queue.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* What a handler enqueues is part of its attempt. */

const next = defineQueue({ name: 'next', payload: numbered })
const own = defineQueue({
  name: 'own-rule',
  payload: numbered,
  dedupe: { by: ({ n }) => String(n), within: '1h' },
})
const slowly = defineQueue({
  name: 'slowly',
  payload: z.object({ n: z.number() }).refine(async ({ n }) => n > 0, 'must be above 0'),
})

let redis: TestRedis
let one: OneQueue
beforeAll(async () => {
  redis = await startRedis()
})
afterEach(() => one.app.close())
afterAll(() => redis.stop())

async function start(handle: Handler<Queue<Numbered>, unknown>, options: OneQueueOptions = {}): Promise<OneQueue> {
  one = await startOneQueue(redis.url, handle, { others: [next, own, slowly], ...options })
  return one
}
const storedIn = async (queue: string) =>
  (await jobsOf(one.app, queue)).map(({ data }) => (data as { n: number }).n).sort()

it('is stored when the attempt has succeeded, not before, and before the job is completed', async () => {
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  let answer: unknown = 'not yet'
  const { enqueue, jobIn } = await start(async (_job, context) => {
    const payload = { n: 1 }
    answer = await context.enqueue(next, payload)
    payload.n = 99 // what was handed over is what counts
    void context.enqueue(next, { n: 2 }, { tenant: 'T1', name: 'second' })
    await held
  })
  const { id } = await enqueue()
  await until(() => answer !== 'not yet', 'enqueue has resolved')
  expect(answer).toBeUndefined()
  expect(await storedIn('next')).toEqual([])
  release()
  await jobIn(id, 'completed')
  expect(await storedIn('next')).toEqual([1, 2])
  const jobs = await jobsOf(one.app, 'next')
  expect(jobs.find(({ name }) => name === 'second')?.meta).toMatchObject({ tenant: 'T1' })
})

it.each([
  ['fails', () => Promise.reject(new Error('no')), 'failed'],
  ['is dropped', () => drop('gone'), 'failed'],
  ['is deferred', () => defer('1h'), 'delayed'],
])('is not stored when the attempt %s', async (_, end, state) => {
  const { enqueue, jobIn } = await start(
    async (_job, context) => {
      await context.enqueue(next, { n: 1 })
      await context.enqueue.now(next, { n: 2 })
      return end()
    },
    { queue: { retry: { attempts: 1 } } },
  )
  const { id } = await enqueue()
  await jobIn(id, state)
  expect(await storedIn('next')).toEqual([2])
})

it('is not stored when the attempt ran out of time, although the handler goes on', async () => {
  let late: unknown
  let isOver = false
  const { enqueue, jobIn } = await start(
    async (_job, context) => {
      await context.enqueue(next, { n: 1 })
      await until(() => isOver, 'the attempt is over')
      try {
        await context.enqueue(next, { n: 2 })
      } catch (error) {
        late = error
      }
    },
    { queue: { retry: { attempts: 1 } }, worker: { timeout: '20ms' } },
  )
  const { id } = await enqueue()
  await jobIn(id, 'failed')
  isOver = true
  await until(() => late, 'enqueue has refused')
  expect(String(late)).toMatch(/enqueue\(\) for 'next' came after the attempt had ended/)
  expect(await storedIn('next')).toEqual([])
})

it('answers `now` with the id of a job that is durable, and stores it again when the attempt is repeated', async () => {
  const answers: unknown[] = []
  const { enqueue, jobIn } = await start(async ({ attempt }, context) => {
    answers.push(await context.enqueue.now(next, { n: attempt }))
    if (attempt === 1) throw new Error('once more')
  })
  const { id } = await enqueue()
  await jobIn(id, 'completed')
  expect(answers).toEqual([
    { id: expect.any(String), duplicate: false },
    { id: expect.any(String), duplicate: false },
  ])
  expect(await storedIn('next')).toEqual([1, 2])
})

it('throws at the call for a payload that does not fit, awaited or not', async () => {
  const { enqueue, jobIn } = await start(
    ({ payload }, context) => {
      void context.enqueue(next, { n: 1 })
      if (payload.n === 1) void context.enqueue(next, { n: 'two' as unknown as number })
      if (payload.n === 2) void context.enqueue(slowly, { n: 0 })
      if (payload.n === 3) return context.enqueue(slowly, { n: 3 })
    },
    { queue: { retry: { attempts: 1 } } },
  )
  const ids = await Promise.all([1, 2, 3].map(async (n) => (await enqueue(n)).id))
  expect((await jobIn(ids[0] ?? '', 'failed')).reason).toMatch(/^job for 'next': n: .*number/)
  expect((await jobIn(ids[1] ?? '', 'failed')).reason).toBe("job for 'slowly': (payload): must be above 0")
  await jobIn(ids[2] ?? '', 'completed')
  expect(await storedIn('slowly')).toEqual([3])
  expect(await storedIn('next')).toEqual([1])
})

it('is the same job when the attempt is repeated after it had been stored', async () => {
  let runs = 0
  const { enqueue, jobIn, bull, app } = await start(async (_job, context) => {
    runs += 1
    await context.enqueue(next, { n: 1 })
    await context.enqueue(next, { n: 2 })
    await context.enqueue(next, { n: 3 }, { dedupeKey: 'mine' })
    await context.enqueue(own, { n: 7 })
  })
  const { id } = await enqueue()
  await jobIn(id, 'completed')
  // As after a crash between the two: the chain is stored, the job is not completed.
  const { client } = redis
  await client.zrem(bull.toKey('completed'), id)
  await client.hdel(bull.toKey(id), 'finishedOn', 'processedOn', 'returnvalue')
  await client.rpush(bull.toKey('wait'), id)
  await client.zadd(bull.toKey('marker'), 0, '0')
  await until(() => runs === 2, 'it ran again')
  await jobIn(id, 'completed')
  expect(await storedIn('next')).toEqual([1, 2, 3])
  expect(await storedIn('own-rule')).toEqual([7])

  // Another job's are others, and they are remembered for a day.
  const other = await enqueue()
  await jobIn(other.id, 'completed')
  expect(await storedIn('next')).toEqual([1, 1, 2, 2, 3])
  const [, keys] = await client.scan(0, 'MATCH', `${app.prefix}:next:de:*`, 'COUNT', 10_000)
  expect(keys).toHaveLength(5)
  expect(Math.min(...(await Promise.all(keys.map((key) => client.pttl(key)))))).toBeGreaterThan(86_000_000)
})

it('is a failure of the attempt when there is no such queue', async () => {
  const unknown = defineQueue({ name: 'unknown', payload: numbered })
  const { enqueue, jobIn } = await start((_job, context) => context.enqueue(unknown, { n: 1 }))
  const { id } = await enqueue()
  expect(await jobIn(id, 'failed')).toMatchObject({ reason: "there is no queue 'unknown' in queues/", attemptsMade: 3 })
})

it('waits for a store that refuses it, and does not call the handler again for that', async () => {
  let runs = 0
  const { enqueue, jobIn } = await start(async (_job, context) => {
    runs += 1
    await context.enqueue(next, { n: 1 })
    // From here on nothing that is added gets in.
    await redis.client.config('SET', 'min-replicas-to-write', '1')
  })
  try {
    const { id } = await enqueue()
    const refused = async () =>
      Number(/errorstat_NOREPLICAS:count=(\d+)/.exec(await redis.client.info('errorstats'))?.[1] ?? 0)
    const before = await refused()
    await until(async () => (await refused()) > before + 1, 'it was refused')
    await redis.client.config('SET', 'min-replicas-to-write', '0')
    await jobIn(id, 'completed')
    expect(runs).toBe(1)
    expect(await storedIn('next')).toEqual([1])
  } finally {
    await redis.client.config('SET', 'min-replicas-to-write', '0')
  }
})

it('stores again only what could not be stored', async () => {
  const tried: number[] = []
  const chain = new Chain({ queue: one.queue, id: 'j1' }, async (_queue, payload) => {
    const { n } = payload as { n: number }
    tried.push(n)
    if (n === 2 && tried.filter((other) => other === 2).length < 3) throw new MillraceError('store-unavailable')
    return { id: 'x', duplicate: false }
  })
  for (const n of [1, 2, 3]) void chain.enqueue(next, { n })
  await chain.send({ aborted: undefined })
  expect(tried).toEqual([1, 2, 3, 2, 2])
})
