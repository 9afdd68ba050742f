import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { type AnyQueue, defer, defineQueue, defineWorker } from '../../src/index.ts'
import { summarizeQueue } from '../../src/jobs/inspect.ts'
import { apiOf } from '../harness/api.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { jobsOf } from '../harness/jobs.ts'
import { keysOf, startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/* Jobs that make room for each other, and jobs for later: which payloads run, and that none is forgotten. */

const payload = z.object({ key: z.string(), n: z.number(), hold: z.boolean().optional(), fail: z.boolean().optional() })
const by = (one: { key: string }) => one.key
const retry = { attempts: 1 }
const queues = {
  plain: defineQueue({ name: 'plain', payload }),
  once: defineQueue({ name: 'once', payload, dedupe: { by, within: '1h' } }),
  debounce: defineQueue({ name: 'debounce', payload, dedupe: { by, mode: 'debounce', within: '1s' } }),
  singleton: defineQueue({ name: 'singleton', payload, retry, dedupe: { by, mode: 'singleton' } }),
  keepLast: defineQueue({ name: 'keep-last', payload, retry, dedupe: { by, mode: 'keep-last' } }),
  supersede: defineQueue({ name: 'supersede', payload, retry, dedupe: { by, mode: 'supersede' } }),
  /** Never worked on. */
  idle: defineQueue({ name: 'idle', payload, dedupe: { by, mode: 'debounce', within: '1h' } }),
}

let redis: TestRedis
let app: TestApp
const ran: { queue: string; key: string; n: number; at: number }[] = []
const held = new Map<string, () => void>()
const workers = Object.values(queues)
  .filter((queue) => queue !== queues.idle)
  .map((queue) =>
    defineWorker(queue, async ({ payload: { key, n, hold, fail } }) => {
      ran.push({ queue: queue.name, key, n, at: Date.now() })
      if (hold) await new Promise<void>((resolve) => held.set(key, resolve))
      if (fail) throw new Error('as told')
      if (n === -1 && ran.filter((one) => one.key === key).length === 1) return defer('300ms')
      return undefined
    }),
  )
beforeAll(async () => {
  redis = await startRedis()
  app = await startTestApp(redis.url, {
    definitions: { queues: [...Object.values(queues), quarantine], workers, ignored: [] },
  })
})
afterAll(async () => {
  for (const release of held.values()) release()
  await app.close()
  await redis.stop()
})

const runs = (key: string) => ran.filter((one) => one.key === key).map(({ n }) => n)
const isHeld = (key: string) => until(() => held.get(key), `${key} is in hand`)
/** Until nothing of the queue is left to do. */
const done = (queue: AnyQueue) =>
  until(
    async () => (await jobsOf(app, queue.name, ['waiting', 'active', 'delayed', 'prioritized'])).length === 0,
    `${queue.name} is empty`,
  )
const pttl = async (queue: AnyQueue) => {
  const [key] = await keysOf(redis.client, `${app.prefix}:${queue.name}:de:*`)
  return key === undefined ? undefined : redis.client.pttl(key)
}

describe('delay', () => {
  it('keeps a job back, in its order, with its options', async () => {
    const key = freshId('k')
    const began = Date.now()
    const [later, sooner] = await Promise.all([
      app.enqueue(queues.plain, { key, n: 2 }, { delay: '600ms', tenant: 't', name: 'late' }),
      app.enqueue(queues.plain, { key, n: 1 }, { delay: '200ms' }),
    ])
    expect([later.duplicate, sooner.duplicate]).toEqual([false, false])
    const [stored] = (await jobsOf(app, 'plain')).filter(({ id }) => id === later.id)
    expect(stored).toMatchObject({ name: 'late', meta: { tenant: 't' } })
    await until(() => runs(key).length === 2, 'both have run')
    expect(runs(key)).toEqual([1, 2])
    expect((ran.find((one) => one.key === key && one.n === 2)?.at ?? 0) - began).toBeGreaterThanOrEqual(600)
  })

  it('goes with a key: the repetition is one, whatever its delay', async () => {
    const key = freshId('k')
    const first = await app.enqueue(queues.once, { key, n: 1 }, { delay: '1h' })
    expect(await app.enqueue(queues.once, { key, n: 2 })).toEqual({ id: first.id, duplicate: true })
    expect(await app.enqueue(queues.once, { key, n: 3 }, { delay: '1s' })).toEqual({ id: first.id, duplicate: true })
    expect(await pttl(queues.once)).toBeGreaterThan(3_500_000)
  })

  it('is no time in which the job waits', async () => {
    await app.enqueue(queues.idle, { key: freshId('k'), n: 1 }, { delay: '2h' })
    const bull = app.bull.get('idle')
    const [job] = (await bull?.getDelayed()) ?? []
    // As when its time had come; there is no worker that would take it.
    await job?.promote()
    expect(bull && (await summarizeQueue(bull)).oldestWaitingSeconds).toBe(0)
    await job?.remove()
  })

  it('refuses one that is no time', async () => {
    await expect(app.enqueue(queues.plain, { key: 'k', n: 1 }, { delay: 'soon' as never })).rejects.toThrow(
      'delay is "soon"',
    )
    await expect(app.enqueue(queues.plain, { key: 'k', n: 1 }, { delay: '9999d' })).rejects.toThrow('five years')
  })

  it('answers store-unavailable in time when the store hangs', async () => {
    redis.signal('SIGSTOP')
    const began = Date.now()
    const refused = await app.enqueue(queues.plain, { key: 'k', n: 1 }, { delay: '1h' }).catch((error) => error)
    const took = Date.now() - began
    redis.signal('SIGCONT')
    expect(refused).toMatchObject({ code: 'store-unavailable' })
    expect(took).toBeLessThan(5_000)
    await until(() => app.enqueue(queues.plain, { key: 'k', n: 2 }).catch(() => undefined), 'it stores again')
  })
})

describe('debounce', () => {
  it('runs the last payload, once it is quiet', async () => {
    const key = freshId('k')
    const ids = []
    for (const n of [1, 2, 3, 4]) ids.push((await app.enqueue(queues.debounce, { key, n })).id)
    const last = Date.now()
    expect(new Set(ids).size).toBe(4)
    expect((await jobsOf(app, 'debounce', ['delayed'])).map(({ id }) => id)).toEqual([ids[3]])
    await until(() => runs(key).length > 0, 'it has run')
    expect(runs(key)).toEqual([4])
    expect((ran.find((one) => one.key === key)?.at ?? 0) - last).toBeGreaterThanOrEqual(950)
  })

  it('loses no payload that comes while the one before is in hand', async () => {
    const key = freshId('k')
    await app.enqueue(queues.debounce, { key, n: 1, hold: true })
    const release = await isHeld(key)
    await app.enqueue(queues.debounce, { key, n: 2 })
    await app.enqueue(queues.debounce, { key, n: 3 })
    release()
    await done(queues.debounce)
    expect(runs(key)).toEqual([1, 3])
  })

  it('keeps a longer delay, and keys apart', async () => {
    await app.enqueue(queues.idle, { key: 'a', n: 1 }, { delay: '3h' })
    await app.enqueue(queues.idle, { key: 'b', n: 2 })
    const scores = await redis.client.zrange(`${app.prefix}:idle:delayed`, '0', '-1', 'WITHSCORES')
    const hours = [scores[1], scores[3]].map((score) => Math.round((Number(score) / 0x1000 - Date.now()) / 3_600_000))
    expect(hours).toEqual([1, 3])
  })
})

describe('singleton', () => {
  it('takes no other while the first is unfinished, and the next one after it, dead or not', async () => {
    const key = freshId('k')
    const first = await app.enqueue(queues.singleton, { key, n: 1, hold: true, fail: true })
    const release = await isHeld(key)
    expect(await app.enqueue(queues.singleton, { key, n: 2 })).toEqual({ id: first.id, duplicate: true })
    expect(await app.enqueue(queues.singleton, { key: freshId('k'), n: 3 })).toMatchObject({ duplicate: false })
    release()
    await done(queues.singleton)
    expect((await jobsOf(app, 'singleton', ['failed'])).map(({ id }) => id)).toEqual([first.id])
    expect(await app.enqueue(queues.singleton, { key, n: 4 })).toMatchObject({ duplicate: false })
    await done(queues.singleton)
    expect(runs(key)).toEqual([1, 4])
  })

  it('is not blocked by a dead job whose key nobody gave back', async () => {
    const key = freshId('k')
    const first = await app.enqueue(queues.singleton, { key, n: 1, fail: true })
    const stale = await redis.client.hget(`${app.prefix}:singleton:${first.id}`, 'deid')
    await done(queues.singleton)
    expect(await redis.client.exists(`${app.prefix}:singleton:de:${stale}`)).toBe(0)
    await redis.client.set(`${app.prefix}:singleton:de:${stale}`, first.id)
    expect(await app.enqueue(queues.singleton, { key, n: 2 })).toMatchObject({ duplicate: false })
  })
})

describe('keep-last', () => {
  it('runs the first and then the last of those that came meanwhile', async () => {
    const key = freshId('k')
    await app.enqueue(queues.keepLast, { key, n: 1, hold: true })
    const release = await isHeld(key)
    const later = []
    for (const n of [2, 3, 4]) later.push(await app.enqueue(queues.keepLast, { key, n }))
    expect(later.every(({ duplicate }) => !duplicate)).toBe(true)
    release()
    await until(() => runs(key).length === 2, 'the last one has run')
    await done(queues.keepLast)
    expect(runs(key)).toEqual([1, 4])
    expect((await jobsOf(app, 'keep-last', ['completed'])).map(({ id }) => id)).toContain(later[2]?.id)
    expect(await app.enqueue(queues.keepLast, { key, n: 5 })).toMatchObject({ duplicate: false })
    await until(() => runs(key).length === 3, 'and then the next')
  })

  // BullMQ's own keepLastIfActive would drop what comes in these two.
  it('keeps what comes while the first only waits, or was put off', async () => {
    const [waiting, deferred] = [freshId('k'), freshId('k')]
    await app.enqueue(queues.keepLast, { key: waiting, n: 1 }, { delay: '300ms' })
    await app.enqueue(queues.keepLast, { key: waiting, n: 2 })
    await app.enqueue(queues.keepLast, { key: deferred, n: -1 })
    await until(() => runs(deferred).length === 1, 'it was put off')
    await app.enqueue(queues.keepLast, { key: deferred, n: 7 })
    await until(() => runs(waiting).length === 2 && runs(deferred).length === 3, 'all have run')
    expect([runs(waiting), runs(deferred)]).toEqual([
      [1, 2],
      [-1, -1, 7],
    ])
  })

  it('runs the last one too when the first dies', async () => {
    const key = freshId('k')
    await app.enqueue(queues.keepLast, { key, n: 1, hold: true, fail: true })
    const release = await isHeld(key)
    await app.enqueue(queues.keepLast, { key, n: 2 })
    release()
    await until(() => runs(key).length === 2, 'the last one has run')
  })
})

describe('supersede', () => {
  it('takes the place of one that waits, and has one cancelled that runs', async () => {
    const key = freshId('k')
    const dedupeKey = freshId('request')
    const first = await app.enqueue(queues.supersede, { key, n: 1, hold: true }, { dedupeKey })
    await isHeld(key)
    const second = await app.enqueue(queues.supersede, { key, n: 2 }, { delay: '1h' })
    const third = await app.enqueue(queues.supersede, { key, n: 3 })
    expect([second, third]).toMatchObject([{ duplicate: false }, { duplicate: false }])
    await done(queues.supersede)
    expect(runs(key)).toEqual([1, 3])
    const dead = await app.bull.get('supersede')?.getJob(first.id)
    expect(dead).toMatchObject({ failedReason: `cancelled: superseded by ${second.id}`, attemptsMade: 1 })
    expect((await jobsOf(app, 'supersede')).map(({ id }) => id)).not.toContain(second.id)
    // The same request again would undo what came after it.
    const again = await app.enqueue(queues.supersede, { key, n: 1 }, { dedupeKey })
    expect(again).toEqual({ id: first.id, duplicate: true })
    expect(await dead?.getState()).toBe('failed')
  })

  it('of twenty that wait leaves one, the last', async () => {
    await app.bull.get('supersede')?.pause()
    const key = freshId('k')
    const all = await Promise.all(Array.from({ length: 20 }, (_, n) => app.enqueue(queues.supersede, { key, n })))
    expect((await jobsOf(app, 'supersede', ['waiting'])).map(({ id }) => id)).toEqual([all[19]?.id])
    await app.bull.get('supersede')?.resume()
    await until(() => runs(key).length > 0, 'it has run')
    expect(runs(key)).toEqual([19])
  })
})

it('takes a given key for the same request, and what is another by the mode', async () => {
  const key = freshId('k')
  const dedupeKey = freshId('request')
  const first = await app.enqueue(queues.idle, { key, n: 1 }, { dedupeKey })
  const second = await app.enqueue(queues.idle, { key, n: 2 })
  expect(second.duplicate).toBe(false)
  expect(await app.enqueue(queues.idle, { key, n: 1 }, { dedupeKey })).toEqual({ id: first.id, duplicate: true })
  const left = (await jobsOf(app, 'idle', ['delayed'])).filter(({ data }) => (data as { key: string }).key === key)
  expect(left.map(({ id }) => id)).toEqual([second.id])
})

it('does not take a singleton for a misuse of the Idempotency-Key', async () => {
  const api = apiOf(() => app)
  const key = freshId('k')
  const add = (n: number, idempotency: string) =>
    api.add('singleton', { key, n, hold: true }, { headers: { 'idempotency-key': idempotency } })
  const first = (await (await add(1, freshId('r'))).json()) as object
  const release = await isHeld(key)
  const second = await add(2, freshId('r'))
  expect(second.status).toBe(201)
  expect(await second.json()).toEqual({ ...first, duplicate: true })
  release()
  await done(queues.singleton)
})
