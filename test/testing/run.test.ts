import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import {
  type AnyQueue,
  type AnyWorker,
  defer,
  defineQueue,
  defineWorker,
  drop,
  MillraceError,
  RateLimited,
} from '../../src/index.ts'
import { describeJob } from '../../src/jobs/inspect.ts'
import { drain, fakeEnqueue, runWorker, virtualTime } from '../../src/testing.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* The test kit says of a handler what the runner would: the same handlers are put through both. */

const payload = z.object({
  n: z.number().default(7),
  at: z.iso
    .datetime()
    .transform((text) => new Date(text))
    .optional(),
})
const mails = defineQueue({
  name: 'mails',
  payload: z.object({ to: z.string() }),
  dedupe: { by: ({ to }) => to, within: '1d' },
})
const retry = { attempts: 3, base: '50ms', max: '60ms' } as const
const queueOf = (name: string): AnyQueue => defineQueue({ name, payload, retry })

class Odd extends Error {}
const handlers: Record<string, Parameters<typeof defineWorker>[1]> = {
  'returns-a-value': ({ payload }) => ({ n: (payload as { n: number }).n }),
  drops: () => drop('gone'),
  'fails-always': () => {
    throw new Odd('broken')
  },
  'fails-twice': ({ attempt }) => {
    if (attempt < 3) throw new Error(`broken ${attempt}`)
    return attempt
  },
  'throws-text': () => {
    throw 'just text'
  },
  'times-out': (_job, { signal }) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
}

describe('runWorker and virtualTime against the runner', () => {
  let redis: TestRedis
  let app: TestApp
  const workers: AnyWorker[] = Object.entries(handlers).map(([name, handle]) =>
    defineWorker(queueOf(name), handle as never, { timeout: '100ms' }),
  )
  beforeAll(async () => {
    redis = await startRedis()
    const definitions = { queues: [...workers.map(({ queue }) => queue), quarantine], workers, ignored: [] }
    app = await startTestApp(redis.url, { definitions })
  })
  afterAll(async () => {
    await app.close()
    await redis.stop()
  })

  it.each(Object.keys(handlers))('%s', async (name) => {
    const worker = workers.find(({ queue }) => queue.name === name) as AnyWorker
    const bull = app.bull.get(name)
    if (!bull) throw new Error('there is no queue')
    const { id } = await app.enqueue(worker.queue, {})
    const real = await until(async () => {
      const job = await describeJob(bull, id)
      return ['completed', 'failed'].includes(job.state) ? job : undefined
    }, 'it has ended')
    const time = virtualTime()
    const life = await time.run(worker, {})
    await time.finish()
    const last = life.attempts.at(-1)
    const bury = last?.next.do === 'bury' ? last.next.reason : null
    expect({ state: life.state, reason: bury, result: last?.result ?? null }).toEqual({
      state: real.state === 'failed' ? 'dead' : 'completed',
      // What is no error has its kind in front, so that it can be told from one.
      reason: real.state === 'failed' ? real.reason?.replace(/^thrown: /, '') : null,
      result: real.result ?? null,
    })
    expect(life.attempts.length).toBe(real.attemptsMade)
  })

  it('drains: jobs for later are left, what waits is told after the time', async () => {
    const worker = workers[0] as AnyWorker
    await app.enqueue(worker.queue, {}, { delay: '1h' })
    await app.enqueue(worker.queue, { n: 1 }, { delay: '100ms' })
    const jobs = await Promise.all([1, 2, 3].map((n) => app.enqueue(worker.queue, { n })))
    await drain(app)
    const bull = app.bull.get(worker.queue.name)
    for (const { id } of jobs) expect(await bull?.getJobState(id)).toBe('completed')
    await bull?.pause()
    await app.enqueue(worker.queue, { n: 4 })
    // Two where the one for later has become due meanwhile.
    await expect(drain(app, { timeout: '50ms' })).rejects.toThrow(
      /not drained within 50ms: .*'returns-a-value' has [12] waiting/,
    )
    await bull?.resume()
    await drain(app)
  })
})

describe('runWorker', () => {
  const orders = defineQueue({
    name: 'orders',
    payload: z.object({ id: z.string(), at: z.iso.datetime().transform((text) => new Date(text)) }),
    retry: { attempts: 4, base: '1s', max: '1h' },
    tenant: { by: ({ id }) => id.split('-')[0] },
  })
  const other = defineQueue({ name: 'other', payload: z.object({ n: z.number() }) })
  const order = { id: 'acme-1', at: '2026-01-01T00:00:00Z' }

  it('hands over what the runner would', async () => {
    const worker = defineWorker(
      orders,
      ({ payload: { at }, ...job }, { settings, log }) => {
        log.info({ job: job.id }, 'seen')
        log.debug('more')
        return { year: at.getUTCFullYear(), ...job, settings }
      },
      { settings: z.object({ KEY: z.string() }) },
    )
    const enqueuedAt = new Date(0)
    const ran = await runWorker(worker, order, { attempt: 2, enqueuedAt, env: { KEY: 'k', OTHER: 'o' } })
    expect(ran).toMatchObject({ outcome: 'done', attempt: 2, next: { do: 'complete' } })
    expect(ran.result).toEqual({
      year: 2026,
      id: 'test-1',
      attempt: 2,
      attempts: 4,
      name: 'orders',
      tenant: 'acme',
      enqueuedAt,
      settings: { KEY: 'k' },
    })
    expect(ran.result?.year).toBe(2026) // typed by the handler
    expect(ran.logs).toEqual([
      { level: 'info', message: 'seen', fields: { job: 'test-1' } },
      { level: 'debug', message: 'more', fields: {} },
    ])
    await expect(runWorker(worker, order)).rejects.toMatchObject({ code: 'invalid-payload', fields: [{ path: 'KEY' }] })
  })

  it('keeps the handler from a payload that does not fit', async () => {
    const worker = defineWorker(orders, () => 'never')
    // @ts-expect-error the payload is the queue's
    const ran = await runWorker(worker, { id: 'acme-1' })
    expect(ran).toMatchObject({ outcome: 'unfit', result: undefined, next: { do: 'bury' } })
    expect(ran.error).toBeInstanceOf(MillraceError)
    expect((ran.error as MillraceError).fields).toMatchObject([{ path: 'at' }])
  })

  it('says what would be sent, only when it is done', async () => {
    const worker = defineWorker(orders, async ({ attempt }, { enqueue }) => {
      await enqueue(mails, { to: 'ada' }, { delay: '1h' })
      await enqueue(mails, { to: 'ada' })
      await enqueue(other, { n: 1 })
      expect(() => enqueue(mails, {} as never)).toThrow(MillraceError)
      if (attempt === 4) await enqueue.now(mails, { to: 'bob' })
      if (attempt === 4) throw new RateLimited('30s')
      if (attempt === 1) throw new Error('broken')
      if (attempt === 2) return defer('5m', 'not yet')
      return undefined
    })
    const [failed, deferred, done, limited] = [1, 2, 3, 4].map((attempt) => runWorker(worker, order, { attempt }))
    expect(await failed).toMatchObject({ outcome: 'failed', next: { do: 'retry', inMs: 1_000 }, enqueued: [] })
    expect(await deferred).toMatchObject({
      outcome: 'deferred',
      reason: 'not yet',
      next: { do: 'postpone', inMs: 300_000 },
      enqueued: [],
    })
    expect(await limited).toMatchObject({ outcome: 'rate-limited', next: { do: 'postpone', inMs: 30_000 } })
    expect((await limited)?.enqueued).toMatchObject([{ payload: { to: 'bob' } }])
    const sent = (await done)?.enqueued
    expect(sent).toMatchObject([
      { queue: mails, payload: { to: 'ada' }, options: { delay: '1h' } },
      { queue: other, payload: { n: 1 } },
    ])
    expect(sent?.[1]?.options).toEqual({})
  })

  it('interrupts by a shutdown, and times out', async () => {
    const shutdown = new AbortController()
    const worker = defineWorker(orders, async ({ attempt }, { signal }) => {
      const aborted = new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      if (attempt === 1) shutdown.abort()
      return aborted
    })
    expect(await runWorker(worker, order, { shutdown: shutdown.signal })).toMatchObject({
      outcome: 'interrupted',
      next: { do: 'postpone', inMs: 0 },
    })
    expect(await runWorker(worker, order, { attempt: 2, timeout: '10ms' })).toMatchObject({
      outcome: 'failed',
      error: { name: 'TimeoutError' },
    })
  })

  it('retries on virtual time, without waiting', async () => {
    const time = virtualTime()
    const flaky = defineWorker(orders, ({ attempt }) => {
      if (attempt < 4) throw new Error('broken')
      return 'at last'
    })
    const later = defineWorker(orders, () => {})
    const [one, two] = [await time.run(flaky, order), await time.run(later, order, { delay: '90m' })]
    expect([one.attempts.length, two.attempts.length, one.dueAt]).toEqual([1, 0, 1_000])
    await time.advance('999ms')
    expect(one.attempts.length).toBe(1)
    await time.advance('1ms')
    expect(one.attempts.map(({ at }) => at)).toEqual([0, 1_000])
    await time.finish()
    expect(one.attempts.map(({ at, attempt, outcome }) => [at, attempt, outcome])).toEqual([
      [0, 1, 'failed'],
      [1_000, 2, 'failed'],
      [3_000, 3, 'failed'],
      [7_000, 4, 'done'],
    ])
    expect([one.state, two.state, time.now]).toEqual(['completed', 'completed', 5_400_000])
  })

  it('does not count what was deferred, and gives up on a job that defers for ever', async () => {
    let runs = 0
    const patient = defineWorker(orders, ({ attempt }) => {
      runs += 1
      return runs < 3 ? defer('1m') : attempt
    })
    const time = virtualTime()
    const life = await time.run(patient, order)
    await time.finish()
    expect(life.attempts.map(({ at, result }) => [at, result])).toEqual([
      [0, undefined],
      [60_000, undefined],
      [120_000, 1],
    ])
    const endless = virtualTime()
    await endless.run(
      defineWorker(orders, () => defer('1m')),
      order,
    )
    await expect(endless.finish()).rejects.toThrow("'orders' has come to no end in 1000 attempts")
  })
})

describe('fakeEnqueue', () => {
  it('remembers what was sent, by queue, and refuses what the real one refuses', async () => {
    const enqueue = fakeEnqueue()
    const other = defineQueue({ name: 'other', payload: z.object({ at: z.date().or(z.string()) }) })
    await enqueue(mails, { to: 'ada' })
    await enqueue(other, { at: new Date(0) }, { tenant: 't' })
    expect(await enqueue(mails, { to: 'ada' })).toEqual({ id: 'fake-1', duplicate: true })
    expect(enqueue.only(mails).payload.to).toBe('ada')
    // As it is stored: a date is a text by then.
    expect(enqueue.to(other)).toMatchObject([{ payload: { at: '1970-01-01T00:00:00.000Z' }, options: { tenant: 't' } }])
    await enqueue(mails, { to: 'bob' })
    expect(() => enqueue.only(mails)).toThrow("2 jobs for 'mails' instead of one; there are some for other")
    expect(() => enqueue.only(quarantine)).toThrow(
      "no job for 'quarantine' instead of one; there are some for mails, other",
    )
    await expect(enqueue(mails, { to: 1 as never })).rejects.toMatchObject({ code: 'invalid-payload' })
    enqueue.failNext(new MillraceError('store-unavailable', 'away'))
    await expect(enqueue(mails, { to: 'eve' })).rejects.toThrow('away')
    expect(enqueue.all).toHaveLength(3)
    enqueue.clear()
    expect(await enqueue(mails, { to: 'ada' })).toMatchObject({ duplicate: false })
    expect(enqueue.all).toHaveLength(1)
  })
})
