import { once } from 'node:events'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type OneQueue, startOneQueue } from '../harness/one-queue.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

let redis: TestRedis
let one: OneQueue | undefined
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(async () => {
  await one?.app.close()
  await redis.stop()
})

// A lock is renewed every 15 s, and that is when its loss shows.
it('tells a handler whose lock another worker has, and leaves the job to that one', { timeout: 60_000 }, async () => {
  const reasons: unknown[] = []
  one = await startOneQueue(redis.url, async (_job, { signal }) => {
    if (reasons.length > 0) return 'by the other one'
    await once(signal, 'abort')
    reasons.push(signal.reason)
    return 'too late'
  })
  const { id } = await one.enqueue()
  const lock = `${one.bull.toKey(id)}:lock`
  await until(() => redis.client.exists(lock), 'it is in hand')
  await redis.client.set(lock, 'of another worker')
  await until(() => reasons.length > 0, 'the signal aborts', 30_000)
  expect(reasons).toEqual([expect.objectContaining({ because: 'lock-lost' })])
  expect(await one.bull.getJobState(id)).toBe('active')
  // That one dies as well: now it is whoever's turn.
  await redis.client.del(lock)
  expect((await one.jobIn(id, 'completed')).result).toBe('by the other one')
})
