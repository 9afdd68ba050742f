import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Job as BullJob } from 'bullmq'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { defineQueue, defineWorker, RateLimited } from '../../src/index.ts'
import { openQueues } from '../../src/jobs/bull.ts'
import { Runner } from '../../src/jobs/runner.ts'
import { createMetrics } from '../../src/observe/metrics.ts'
import { numbered, type OneQueue, startOneQueue } from '../harness/one-queue.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/* Somebody else says "too often": the job waits as long as that one asks, and nothing is spent on it. */

let redis: TestRedis
let server: Server
let one: OneQueue | undefined
/** What the other side answers next; 200 when there is nothing left. */
const answers: { status: number; retryAfter: string }[] = []
beforeAll(async () => {
  redis = await startRedis()
  server = createServer((_request, response) => {
    const { status, retryAfter } = answers.shift() ?? { status: 200, retryAfter: '' }
    response.writeHead(status, retryAfter ? { 'retry-after': retryAfter } : {}).end()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterEach(async () => {
  await one?.app.close()
  one = undefined
  answers.length = 0
})
afterAll(async () => {
  server.close()
  await redis.stop()
})

const call = async () => {
  const { port } = server.address() as AddressInfo
  const response = await fetch(`http://127.0.0.1:${port}/`)
  if (response.status === 429) throw new RateLimited(response.headers.get('retry-after'), 'api.example')
  return response.status
}

it('runs again after exactly the time of the header, also at the last attempt, with other jobs going on meanwhile', async () => {
  answers.push({ status: 429, retryAfter: '1' })
  const calls: { n: number; at: number; attempt: number }[] = []
  one = await startOneQueue(
    redis.url,
    async ({ payload, attempt }) => {
      calls.push({ n: payload.n, at: Date.now(), attempt })
      return call()
    },
    { queue: { retry: { attempts: 1 } }, worker: { concurrency: 1 } },
  )
  const limited = await one.enqueue(1)
  await one.jobIn(limited.id, 'delayed')
  const said = await one.why(limited.id)
  expect(said).toMatchObject({ code: 'rate-limited', key: 'api.example' })
  expect((said?.until ?? 0) - (said?.at ?? 0)).toBe(1_000)

  // The only slot is free.
  const other = await one.enqueue(2)
  await one.jobIn(other.id, 'completed')
  expect(await one.jobIn(limited.id, 'completed')).toMatchObject({ result: 200, attemptsMade: 1 })
  expect(calls.map(({ n, attempt }) => [n, attempt])).toEqual([
    [1, 1],
    [2, 1],
    [1, 1],
  ])
  // Never before; how soon after is the store's marker and this machine's load.
  expect(calls[2]?.at).toBeGreaterThanOrEqual(said?.until ?? Number.POSITIVE_INFINITY)
  expect(await one.finished('rate-limited')).toBe(1)
})

it('understands a date, and waits half a minute where the header is missing or says nothing', async () => {
  const inAnHour = new Date(Date.now() + 3_600_000).toUTCString()
  one = await startOneQueue(redis.url, () => call())
  for (const [retryAfter, ms] of [
    [inAnHour, 3_600_000],
    ['', 30_000],
    ['later', 30_000],
  ] as const) {
    answers.push({ status: 429, retryAfter })
    const { id } = await one.enqueue()
    await one.jobIn(id, 'delayed')
    const { until: back = 0, at = 0 } = (await one.why(id)) ?? {}
    expect(back - at).toBeLessThanOrEqual(ms)
    expect(back - at).toBeGreaterThan(ms - 10_000)
    expect(Math.abs((await one.backAt(id)) - back)).toBeLessThan(1_000)
  }
})

it.each([true, false])(
  'tells whoever holds others of the key back, and waits all the same when that fails: %s',
  async (fails) => {
    const queue = defineQueue({ name: 'work', payload: numbered })
    const worker = defineWorker(queue, () => {
      throw new RateLimited('1h', 'api.example')
    })
    const prefix = freshId('p')
    const held: [string | undefined, number, string | undefined][] = []
    const consumer = redis.client.duplicate()
    const bull = openQueues([queue], redis.client, prefix).get('work')
    const runner = new Runner({
      worker,
      redis: consumer,
      prefix,
      log: pino({ level: 'silent' }),
      metrics: createMetrics(),
      enqueue: () => Promise.reject(new Error('nothing is enqueued here')),
      settings: undefined,
      holdBack: async (bullJob: BullJob, untilMs, key) => {
        held.push([bullJob.id, untilMs, key])
        if (fails) throw new Error('no gate')
      },
    })
    try {
      await runner.start()
      const job = await bull?.add('x', { n: 1 })
      const score = await until(() => redis.client.zscore(`${prefix}:work:delayed`, job?.id ?? ''), 'it waits')
      expect(held).toEqual([[job?.id, expect.any(Number), 'api.example']])
      expect(Math.abs(Math.floor(Number(score) / 0x1000) - (held[0]?.[1] ?? 0))).toBeLessThan(1_000)
    } finally {
      await runner.stop(Date.now() + 5_000)
      await bull?.close()
      consumer.disconnect()
    }
  },
)
