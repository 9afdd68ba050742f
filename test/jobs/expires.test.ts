import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { defer } from '../../src/index.ts'
import { type OneQueue, startOneQueue } from '../harness/one-queue.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* Too late to be started. Jobs wait in a paused queue until their time is over. */

let redis: TestRedis
let one: OneQueue
beforeAll(async () => {
  redis = await startRedis()
})
afterEach(() => one.app.close())
afterAll(() => redis.stop())

const past = (ms: number) => until(() => Date.now() > ms, 'the time is over')

it('is never started after its time, and says how late it was', async () => {
  const runs: number[] = []
  one = await startOneQueue(redis.url, ({ payload }) => void runs.push(payload.n), {
    queue: { expires: '50ms' },
    worker: { concurrency: 1 },
  })
  await one.bull.pause()
  const began = Date.now()
  const late = await one.enqueue(1)
  const patient = await one.enqueue(2, { expires: '1h' })
  const hasty = await one.enqueue(3, { expires: '1ms' })
  await past(began + 1_000)
  await one.bull.resume()
  expect(await one.jobIn(late.id, 'failed')).toMatchObject({
    reason: expect.stringMatching(/^expired: not started in time, .+ too late$/),
    attemptsMade: 1,
  })
  await one.jobIn(hasty.id, 'failed')
  await one.jobIn(patient.id, 'completed')
  expect(runs).toEqual([2])
  expect(await one.why(late.id)).toMatchObject({ code: 'expired' })
  expect([await one.finished('expired'), await one.finished('dead')]).toEqual([2, 0])
})

it('has its own time also in a queue without one, and none where nobody says so', async () => {
  const runs: number[] = []
  one = await startOneQueue(redis.url, ({ payload }) => void runs.push(payload.n))
  await one.bull.pause()
  const hasty = await one.enqueue(1, { expires: '1ms' })
  const other = await one.enqueue(2)
  const meta = JSON.parse((await redis.client.hget(one.bull.toKey(hasty.id), 'opts')) ?? '').meta
  expect(Math.abs(meta.expires - Date.now())).toBeLessThan(5_000)
  await past(meta.expires)
  await one.bull.resume()
  await one.jobIn(hasty.id, 'failed')
  await one.jobIn(other.id, 'completed')
  expect(runs).toEqual([2])
})

it('refuses a time that is none, when the job is enqueued', async () => {
  one = await startOneQueue(redis.url, () => {})
  await expect(one.enqueue(1, { expires: 'soon' as '1s' })).rejects.toThrow(/expires is "soon"; write a duration/)
})

it.each([
  ['failed', () => Promise.reject(new Error('no'))],
  ['was deferred', () => defer('1600ms')],
])('holds for the first start only: one that %s comes back later all the same', async (_, first) => {
  const runs: number[] = []
  one = await startOneQueue(
    redis.url,
    () => {
      runs.push(Date.now())
      return runs.length === 1 ? first() : 'done'
    },
    { queue: { expires: '1500ms', retry: { base: '1600ms', jitter: 0 } } },
  )
  const began = Date.now()
  const { id } = await one.enqueue()
  await one.jobIn(id, 'completed')
  expect(runs).toHaveLength(2)
  expect(runs[1]).toBeGreaterThan(began + 1_500)
})

it('counts a run of a schedule from when it was due, not from when it was stored', async () => {
  const runs: number[] = []
  one = await startOneQueue(redis.url, () => void runs.push(Date.now()), { queue: { expires: '2500ms' } })
  // The second run is stored with the first, three seconds ahead.
  await one.bull.upsertJobScheduler('tick', { every: 3_000 }, { name: 'tick', data: { n: 1 } })
  await until(() => runs.length >= 2, 'it ran twice')
  await one.bull.removeJobScheduler('tick')
  expect(await one.finished('expired')).toBe(0)
})

it('counts a job for later from when it is due', async () => {
  const ran: number[] = []
  one = await startOneQueue(redis.url, ({ payload }) => void ran.push(payload.n), { queue: { expires: '2s' } })
  const jobs = [await one.enqueue(1, { delay: '3s' }), await one.enqueue(2, { delay: '3s', expires: '2s' })]
  for (const { id } of jobs) await one.jobIn(id, 'completed')
  expect(ran.sort()).toEqual([1, 2])
})
