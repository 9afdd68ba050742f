import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { type AnyQueue, defineQueue, defineWorker } from '../../src/index.ts'
import { describeJob } from '../../src/jobs/inspect.ts'
import { readWhy } from '../../src/jobs/why.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/* One queue, seen by processes of different ages: each has its own definition of it, on one store. */

let redis: TestRedis
const apps: TestApp[] = []
beforeAll(async () => {
  redis = await startRedis()
})
afterEach(async () => {
  await Promise.all(apps.splice(0).map((app) => app.close()))
})
afterAll(() => redis.stop())

const first = defineQueue({
  name: 'paid',
  payload: z.object({ amount: z.number() }),
  retry: { attempts: 3, base: '1ms' },
})
const third = defineQueue({
  name: 'paid',
  payload: z.object({ cents: z.number().int(), currency: z.string() }),
  retry: { attempts: 3, base: '1ms' },
  version: 3,
  migrate: {
    1: ({ amount }: { amount: number }) => ({ cents: Math.round(amount * 100) }),
    2: (payload: { cents: number }) => {
      if (payload.cents < 0) throw new Error('a refund was no payment then')
      return { ...payload, currency: 'EUR' }
    },
  },
})

/** A process of that age; without a worker it only adds. */
async function start(queue: AnyQueue, prefix: string, handle?: (payload: unknown) => unknown): Promise<TestApp> {
  const app = await startTestApp(redis.url, {
    definitions: {
      queues: [queue, quarantine],
      workers: handle ? [defineWorker(queue, ({ payload }) => handle(payload))] : [],
      ignored: [],
    },
    env: { KEY_PREFIX: prefix },
  })
  apps.push(app)
  return app
}

const stored = (prefix: string, id: string) => redis.client.hgetall(`${prefix}:paid:${id}`)

it('writes the version into new jobs, and nothing where there is only one', async () => {
  const prefix = freshId('p')
  const [old, now] = [await start(first, prefix), await start(third, prefix)]
  const { id: older } = await old.enqueue(first, { amount: 1 })
  const { id: newer } = await now.enqueue(third, { cents: 100, currency: 'USD' })
  expect(JSON.parse((await stored(prefix, older)).opts ?? '').meta).toEqual({})
  expect(JSON.parse((await stored(prefix, newer)).opts ?? '').meta).toEqual({ v: 3 })
})

it('brings an old payload up to date before it is checked', async () => {
  const prefix = freshId('p')
  const old = await start(first, prefix)
  await old.enqueue(first, { amount: 12.34 })
  const seen: unknown[] = []
  const now = await start(third, prefix, (payload) => seen.push(payload))
  await now.enqueue(third, { cents: 5, currency: 'USD' })
  await until(() => seen.length === 2, 'both were handled')
  expect(seen).toEqual([
    { cents: 1_234, currency: 'EUR' },
    { cents: 5, currency: 'USD' },
  ])
})

it.each([
  ['what does not fit after its migration', { amount: 'a lot' }, 1, /^stored payload of job \S+: cents: .*number/],
  ['what a migration throws at', { amount: -1 }, 1, /^migration from version 1 to 3: a refund was no payment then$/],
  ['what a migration breaks on', null, 1, /^migration from version 1 to 3: .*null/],
  ['a version that is none', { amount: 1 }, 'two', /^the stored version "two" is none$/],
  ['a version before the first', { amount: 1 }, 0, /^the stored version 0 is none$/],
])('buries %s at once, without calling the handler', async (_, payload, v, reason) => {
  const prefix = freshId('p')
  let runs = 0
  const app = await start(third, prefix, () => {
    runs += 1
  })
  const bull = app.bull.get('paid')
  if (!bull) throw new Error('no queue')
  const job = await bull.add('x', payload, { meta: { v } } as object)
  const dead = await until(async () => {
    const found = await describeJob(bull, job.id ?? '')
    return found.state === 'failed' ? found : undefined
  }, 'it is dead')
  expect(dead.reason).toMatch(reason)
  expect(dead.attemptsMade).toBe(1)
  expect(runs).toBe(0)
})

it('leaves a newer job to a newer process, spends nothing on it, and says so', async () => {
  const prefix = freshId('p')
  const adds = await start(third, prefix)
  const seen: unknown[] = []
  await start(first, prefix, (payload) => seen.push(['old', payload]))
  const { id } = await adds.enqueue(third, { cents: 5, currency: 'USD' })
  const delayed = `${prefix}:paid:delayed`
  await until(() => redis.client.zscore(delayed, id), 'it waits')

  const job = await stored(prefix, id)
  const why = readWhy(job.why)
  expect(why).toMatchObject({ code: 'newer-version', version: 3, times: 1 })
  expect((why?.until ?? 0) - (why?.at ?? 0)).toBe(5_000)
  // Neither an attempt nor a start.
  expect([job.atm, job.ats]).toEqual([undefined, '0'])

  // Its time is over: the old process is the only one, and puts it back for longer.
  await adds.bull
    .get('paid')
    ?.getJob(id)
    .then((found) => found?.promote())
  const again = await until(async () => {
    const said = readWhy(await redis.client.hget(`${prefix}:paid:${id}`, 'why'))
    return said?.times === 2 ? said : undefined
  }, 'it was put back again')
  expect((again.until ?? 0) - again.at).toBe(10_000)

  await until(() => redis.client.zscore(delayed, id), 'it waits again')
  await apps[1]?.stop(Date.now() + 5_000)
  await start(third, prefix, (payload) => seen.push(['new', payload]))
  await adds.bull
    .get('paid')
    ?.getJob(id)
    .then((found) => found?.promote())
  await until(() => seen.length > 0, 'it was handled')
  expect(seen).toEqual([['new', { cents: 5, currency: 'USD' }]])
})
