import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { startOneQueue } from '../harness/one-queue.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* How long a handler can keep a slot that it should have left, in our own process and on a real store. */

let redis: TestRedis
let one: Awaited<ReturnType<typeof startOneQueue>> | undefined
beforeAll(async () => {
  redis = await startRedis()
})
afterEach(() => one?.app.close())
afterAll(() => redis.stop())

it('has failed within 2 s of its timeout when the handler does not listen, and the slot is free for the next', async () => {
  const startedAt: number[] = []
  one = await startOneQueue(
    redis.url,
    () => {
      startedAt.push(performance.now())
      return startedAt.length === 1 ? new Promise(() => {}) : 'done'
    },
    { queue: { retry: { attempts: 1 } }, worker: { timeout: '500ms', concurrency: 1 } },
  )
  const stuck = await one.enqueue(1)
  const next = await one.enqueue(2)
  const dead = await one.jobIn(stuck.id, 'failed')
  const began = startedAt[0] ?? 0
  expect(performance.now() - began).toBeLessThan(500 + 2_000)
  expect(dead.reason).toBe('timed out after 500 ms')
  await one.jobIn(next.id, 'completed')
  expect((startedAt[1] ?? 0) - began).toBeLessThan(500 + 2_000)
})

it('does not keep a stop waiting when the store is away: nobody looks for strays or silence any more', async () => {
  one = await startOneQueue(redis.url, () => 'done')
  await one.jobIn((await one.enqueue(1)).id, 'completed')
  await redis.kill()
  const began = performance.now()
  await until(() => one?.app.stop(Date.now() + 8_000).then(() => true), 'it has stopped')
  expect(performance.now() - began).toBeLessThan(8_000 + 2_000)
  await redis.restart()
})
