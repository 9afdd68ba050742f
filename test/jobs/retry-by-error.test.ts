import { Queue as BullQueue, Worker as BullWorker } from 'bullmq'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import type { Handler } from '../../src/define/worker.ts'
import type { Queue } from '../../src/index.ts'
import { Notes } from '../../src/jobs/why.ts'
import { type Numbered, type OneQueue, type OneQueueOptions, startOneQueue } from '../harness/one-queue.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/* What becomes of a job by what its handler throws. */

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

async function start(handle: Handler<Queue<Numbered>, unknown>, options: OneQueueOptions = {}): Promise<OneQueue> {
  one = await startOneQueue(redis.url, handle, options)
  return one
}

class PaymentError extends Error {}
class CardDeclined extends PaymentError {}

it("buries at once, after more, or after fewer attempts than the queue's, as the error's class or code says", async () => {
  const attempts = new Map<number, number>()
  const errors = [
    new CardDeclined('declined'),
    new TypeError('odd'),
    Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }),
    new Error('plain'),
  ]
  const { enqueue, jobIn } = await start(
    ({ payload }) => {
      attempts.set(payload.n, (attempts.get(payload.n) ?? 0) + 1)
      throw errors[payload.n]
    },
    {
      queue: {
        retry: {
          attempts: 3,
          base: '1ms',
          max: '5ms',
          on: { PaymentError: 'never', ECONNREFUSED: { attempts: 6 }, TypeError: { attempts: 2 } },
        },
      },
    },
  )
  const ids = await Promise.all(errors.map(async (_, n) => (await enqueue(n)).id))
  const dead = await Promise.all(ids.map((id) => jobIn(id, 'failed')))
  expect(dead.map(({ reason }) => reason)).toEqual(['declined', 'odd', 'refused', 'plain'])
  expect([...attempts].sort()).toEqual([
    [0, 1],
    [1, 2],
    [2, 6],
    [3, 3],
  ])
  expect(dead.map(({ attemptsMade }) => attemptsMade)).toEqual([1, 2, 6, 3])
})

it('waits by the numbers of the error, and the job says for what and until when', async () => {
  const { enqueue, jobIn, why, backAt } = await start(
    () => {
      throw new CardDeclined('declined')
    },
    { queue: { retry: { on: { PaymentError: { base: '1h', max: '2h', jitter: 0 } } } } },
  )
  const { id } = await enqueue()
  await jobIn(id, 'delayed')
  const said = await why(id)
  expect(said).toMatchObject({ code: 'backoff', error: 'declined' })
  expect((said?.until ?? 0) - (said?.at ?? 0)).toBe(3_600_000)
  expect(Math.abs((await backAt(id)) - (said?.until ?? 0))).toBeLessThan(1_000)
})

it.each([
  ['a text', 'just a text', 'thrown: just a text'],
  ['nothing', undefined, 'thrown: undefined'],
  ['a plain object', Object.create(null), 'thrown: something that has no text'],
])('stores a reason and a stack also when %s is thrown', async (_, thrown, reason) => {
  const { enqueue, jobIn, why } = await start(
    () => {
      throw thrown
    },
    { queue: { retry: { attempts: 1 } } },
  )
  const { id } = await enqueue()
  const dead = await jobIn(id, 'failed')
  expect(dead.reason).toBe(reason)
  expect(dead.errors).toHaveLength(1)
  expect(dead.errors[0]).toContain('\n    at ')
  expect(await why(id)).toMatchObject({ code: 'dead' })
})

it('says of a job why it was deferred or dropped, in the words of the handler', async () => {
  const { defer, drop } = await import('../../src/index.ts')
  const { enqueue, jobIn, why, finished } = await start(({ payload }) =>
    payload.n === 1 ? defer('1h', 'the order is locked') : drop('gone'),
  )
  const [later, never] = [await enqueue(1), await enqueue(2)]
  await jobIn(later.id, 'delayed')
  await jobIn(never.id, 'failed')
  const said = await why(later.id)
  expect(said).toMatchObject({ code: 'deferred', reason: 'the order is locked' })
  expect(said?.until).toBeGreaterThan(Date.now() + 3_500_000)
  expect(await why(never.id)).toMatchObject({ code: 'dropped', reason: 'gone' })
  expect([await finished('deferred'), await finished('dropped')]).toEqual([1, 1])
})

it('says of a job that a shutdown interrupted it, and starts it again as the next one', async () => {
  let isStarted = false
  const { enqueue, bull, app } = await start(
    () => {
      isStarted = true
      return new Promise(() => {})
    },
    { worker: { concurrency: 1 } },
  )
  const first = await enqueue(1)
  const second = await enqueue(2)
  await until(() => isStarted, 'it has started')
  await app.stop(Date.now() + 2_500)
  expect(await redis.client.lrange(bull.toKey('wait'), 0, -1)).toEqual([second.id, first.id])
  const stored = JSON.parse((await redis.client.hget(bull.toKey(first.id), 'why')) ?? 'null')
  expect(stored).toMatchObject({ code: 'interrupted' })
  expect(stored).not.toHaveProperty('until')
})

it('keeps a result up to its bound, and says in the job that a larger one is not kept', async () => {
  const { enqueue, jobIn, job } = await start(({ payload }) => 'x'.repeat(payload.n))
  const [fits, large] = [await enqueue(262_142), await enqueue(262_143)]
  expect((await jobIn(fits.id, 'completed')).result).toHaveLength(262_142)
  expect((await jobIn(large.id, 'completed')).result).toBeNull()
  const { logs } = await until(async () => {
    const found = await job(large.id)
    return found.logs.length > 0 ? found : undefined
  }, 'the note is there')
  expect(logs).toEqual(['the result was not kept: it has 257 KB, and 256 KB is the most that is kept'])
})

it('completes a job whose result is not JSON, and says so', async () => {
  const { enqueue, jobIn, job } = await start(() => {
    const ring: Record<string, unknown> = {}
    ring.ring = ring
    return ring
  })
  const { id } = await enqueue()
  await jobIn(id, 'completed')
  const { logs } = await until(async () => {
    const found = await job(id)
    return found.logs.length > 0 ? found : undefined
  }, 'the note is there')
  expect(logs[0]).toMatch(/^the result was not kept: it is not JSON: .*circular/)
})

it('lets BullMQ put a job off without a word of ours', async () => {
  const connection = redis.client.duplicate()
  const name = freshId('plain')
  const queue = new BullQueue(name, { connection })
  const worker = new BullWorker(name, null, { connection, autorun: false })
  try {
    new Notes(worker, connection)
    const { id = '' } = await queue.add('x', {})
    const job = await worker.getNextJob('token')
    await job?.moveToDelayed(Date.now() + 60_000, 'token')
    expect(await queue.getJobState(id)).toBe('delayed')
    expect(await connection.hget(queue.toKey(id), 'why')).toBeNull()
  } finally {
    await Promise.all([worker.close(), queue.close()])
    connection.disconnect()
  }
})
