import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { cancelJob, removeJob } from '../../src/jobs/actions.ts'
import { type OneQueue, startOneQueue } from '../harness/one-queue.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* What becomes of a job that is to follow another one (keep-last) when somebody acts on that one before it ran. */

const actor = { name: 'ada' }
let redis: TestRedis
let one: OneQueue
let ran: number[]
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())
beforeEach(async () => {
  ran = []
  one = await startOneQueue(redis.url, ({ payload }) => void ran.push(payload.n), {
    queue: { dedupe: { by: () => 'key', mode: 'keep-last' } },
  })
})
afterEach(() => one.app.close())

const twoOf = async () => {
  const first = await one.enqueue(1, { delay: '1h' })
  await one.enqueue(2)
  return first.id
}

it('comes when the first is cancelled', async () => {
  const first = await twoOf()
  const acted = await cancelJob(one.bull, first, { actor, prefix: one.app.prefix })
  expect(acted).toMatchObject({ state: 'cancelling', was: 'followed' })
  await until(() => ran.length > 0, 'the last one runs')
  expect(ran).toEqual([2])
  expect((await one.jobIn(first, 'failed')).reason).toBe('cancelled: by ada')
})

it('is deleted with the first, and never comes back', async () => {
  await removeJob(one.bull, await twoOf(), { actor })
  const { id } = await one.enqueue(3)
  await one.jobIn(id, 'completed')
  const counts = await one.bull.getJobCounts('waiting', 'delayed', 'active', 'completed')
  expect(counts).toEqual({ waiting: 0, delayed: 0, active: 0, completed: 1 })
  expect(ran).toEqual([3])
})
