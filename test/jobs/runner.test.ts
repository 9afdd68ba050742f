import { Queue as BullQueue } from 'bullmq'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import type { Queue } from '../../src/define/queue.ts'
import type { Handler } from '../../src/define/worker.ts'
import { defer, defineQueue, defineWorker, drop, type QueueOptions, type WorkerOptions } from '../../src/index.ts'
import { describeJob } from '../../src/jobs/inspect.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* Attempts on a real store: what a handler does, and what becomes of the job. */

const payload = z.object({
  n: z.number(),
  at: z.iso.datetime().transform((text) => new Date(text)),
  currency: z.string().default('EUR'),
})
type Payload = typeof payload
const at = '2026-01-02T03:04:05Z'

let redis: TestRedis
let app: TestApp | undefined
beforeAll(async () => {
  redis = await startRedis()
})
afterEach(async () => {
  await app?.close()
  app = undefined
})
afterAll(() => redis.stop())

/** An App with one queue and its worker; `job` waits until the job is in a state and gives it whole. */
async function run(
  handle: Handler<Queue<Payload>, unknown>,
  options: { queue?: Partial<QueueOptions<Payload>>; worker?: WorkerOptions; env?: Record<string, string> } = {},
) {
  const queue = defineQueue({
    name: 'work',
    payload,
    retry: { attempts: 3, base: '1ms', max: '5ms' },
    ...options.queue,
  })
  const worker = defineWorker(queue, handle, options.worker)
  const started = await startTestApp(redis.url, {
    definitions: { queues: [queue, quarantine], workers: [worker], ignored: [] },
    env: options.env ?? {},
  })
  app = started
  const bull = started.bull.get('work')
  if (!bull) throw new Error('no queue')
  return {
    app: started,
    queue,
    bull,
    enqueue: (n = 1) => started.enqueue(queue, { n, at }),
    job: (id: string, state: string) =>
      until(async () => {
        const job = await describeJob(bull, id)
        return job.state === state ? job : undefined
      }, `job is ${state}`),
  }
}

it("gives the handler the schema's output and keeps its result", async () => {
  const seen: unknown[] = []
  const { enqueue, job } = await run((job) => {
    seen.push(job)
    return { twice: job.payload.n * 2 }
  })
  const { id } = await enqueue(21)
  expect(await job(id, 'completed')).toMatchObject({ result: { twice: 42 }, payload: { n: 21, at }, attemptsMade: 1 })
  expect(seen).toEqual([
    expect.objectContaining({
      id,
      attempt: 1,
      attempts: 3,
      name: 'work',
      payload: { n: 21, at: new Date(at), currency: 'EUR' },
    }),
  ])
})

it('repeats a failing job by the policy of the queue and then lets it lie, with every error', async () => {
  const attempts: number[] = []
  const { enqueue, job } = await run(({ attempt }) => {
    attempts.push(attempt)
    throw new Error(`no ${attempt}`)
  })
  const { id } = await enqueue()
  const dead = await job(id, 'failed')
  expect(attempts).toEqual([1, 2, 3])
  expect(dead).toMatchObject({ reason: 'no 3', attemptsMade: 3 })
  expect(dead.errors.join()).toContain('no 1')
})

it('lets the queue file as it is now hold for jobs that were stored under another', async () => {
  let attempts = 0
  const { bull, job } = await run(() => {
    attempts += 1
    throw new Error('no')
  })
  const stored = await bull.add('old', { n: 1, at }, { attempts: 1, backoff: { type: 'unknown-to-everybody' } })
  await job(stored.id ?? '', 'failed')
  expect(attempts).toBe(3)
})

it('puts off a deferred job without using up an attempt', async () => {
  const attempts: number[] = []
  const { enqueue, job } = await run(({ attempt }) => {
    attempts.push(attempt)
    return attempts.length < 5 ? defer('1ms') : 'done'
  })
  const { id } = await enqueue()
  await job(id, 'completed')
  expect(attempts).toEqual([1, 1, 1, 1, 1])
})

it('never repeats a dropped job and keeps the reason', async () => {
  let runs = 0
  const { enqueue, job } = await run(() => {
    runs += 1
    return drop('order no longer exists')
  })
  const { id } = await enqueue()
  expect(await job(id, 'failed')).toMatchObject({ reason: 'order no longer exists', attemptsMade: 1 })
  expect(runs).toBe(1)
})

it('buries a stored payload that does not fit at once, without calling the handler', async () => {
  let runs = 0
  const { bull, job } = await run(() => {
    runs += 1
  })
  const stored = await bull.add('bad', { n: 'one', at })
  expect(await job(stored.id ?? '', 'failed')).toMatchObject({
    reason: expect.stringMatching(/n: .*number/),
    attemptsMade: 1,
  })
  expect(runs).toBe(0)
})

it('keeps a reason also when something else than an error is thrown', async () => {
  const { enqueue, job } = await run(
    () => {
      throw 'just a text'
    },
    { queue: { retry: { attempts: 1 } } },
  )
  const { id } = await enqueue()
  expect(await job(id, 'failed')).toMatchObject({ reason: 'thrown: just a text' })
})

it('aborts the signal on timeout, and fails the attempt even if the handler does not care', async () => {
  const signals: AbortSignal[] = []
  const { enqueue, job } = await run(
    (_job, { signal }) => {
      signals.push(signal)
      return new Promise(() => {})
    },
    { queue: { retry: { attempts: 1 } }, worker: { timeout: '50ms' } },
  )
  const { id } = await enqueue()
  expect(await job(id, 'failed')).toMatchObject({ reason: 'timed out after 50 ms' })
  expect(signals[0]?.aborted).toBe(true)
})

it('finishes on a stop what it has in hand, and takes no more', async () => {
  let release = () => {}
  const started: number[] = []
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const {
    app: own,
    enqueue,
    bull,
  } = await run(
    async ({ payload }) => {
      started.push(payload.n)
      await held
    },
    { worker: { concurrency: 1 } },
  )
  const first = await enqueue(1)
  const second = await enqueue(2)
  await until(() => started.length === 1, 'the first has started')
  const stopped = own.stop(Date.now() + 20_000)
  release()
  await stopped
  expect(started).toEqual([1])
  expect(await redis.client.zscore(bull.toKey('completed'), first.id)).not.toBeNull()
  expect(await redis.client.lrange(bull.toKey('wait'), 0, -1)).toEqual([second.id])
})

it('gives back at the deadline what does not finish, and spends no attempt', async () => {
  let isStarted = false
  const {
    app: own,
    enqueue,
    bull,
  } = await run(() => {
    isStarted = true
    return new Promise(() => {})
  })
  const { id } = await enqueue()
  await until(() => isStarted, 'it has started')
  await own.stop(Date.now() + 2_500)
  expect(await redis.client.lrange(bull.toKey('wait'), 0, -1)).toEqual([id])
  expect(await redis.client.hget(bull.toKey(id), 'atm')).toBeNull()
})

it('stores what a handler enqueues', async () => {
  const other = defineQueue({ name: 'other', payload: z.object({ from: z.string() }) })
  const { bull, enqueue, app: own } = await run(({ id }, { enqueue: add }) => add(other, { from: id }))
  const { id } = await enqueue()
  // The queue is not among this App's: the error says so, and is an ordinary failure.
  const job = await until(async () => {
    const found = await describeJob(bull, id)
    return found.state === 'failed' ? found : undefined
  }, 'it failed')
  expect(job.reason).toBe("there is no queue 'other' in queues/")
  expect(own.bull.has('other')).toBe(false)
})

it('removes finished jobs by the policy of the queue', async () => {
  const { enqueue, bull, job } = await run(() => {}, {
    queue: { keep: { completed: { count: 3 } } },
    worker: { concurrency: 1 },
  })
  const ids: string[] = []
  for (let n = 1; n <= 6; n += 1) ids.push((await enqueue(n)).id)
  await job(ids[5] ?? '', 'completed')
  expect(await redis.client.zrange(bull.toKey('completed'), '0', '-1')).toEqual(ids.slice(3))
  expect(await redis.client.exists(bull.toKey(ids[0] ?? ''))).toBe(0)
})

it('asks a store that refuses writes now and then, not thousands of times a second, and goes on by itself', async () => {
  const small = await startRedis()
  try {
    const queue = defineQueue({ name: 'work', payload })
    const done: number[] = []
    const worker = defineWorker(queue, ({ payload }) => void done.push(payload.n))
    const KEY_PREFIX = 'full'
    const bull = new BullQueue('work', { connection: { path: small.path }, prefix: KEY_PREFIX })
    await bull.add('x', { n: 1, at })
    await bull.close()
    await small.client.config('SET', 'min-replicas-to-write', '1')
    const definitions = { queues: [queue, quarantine], workers: [worker], ignored: [] }
    app = await startTestApp(small.url, { definitions, env: { KEY_PREFIX, ROLES: 'worker' } })
    const refused = async () =>
      Number(/errorstat_NOREPLICAS:count=(\d+)/.exec(await small.client.info('errorstats'))?.[1] ?? 0)
    await until(async () => (await refused()) > 0, 'the worker was refused')
    await new Promise((resolve) => setTimeout(resolve, 1_000)) // a second is what the claim is about
    expect(await refused()).toBeLessThan(50)
    expect(done).toEqual([])
    await small.client.config('SET', 'min-replicas-to-write', '0')
    await until(() => done.length === 1, 'it goes on when writes are taken again')
  } finally {
    await app?.close()
    app = undefined
    await small.stop()
  }
})
