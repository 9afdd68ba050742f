import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { type AnyQueue, type AnyWorker, defineQueue, defineWorker } from '../../src/index.ts'
import { Scheduler } from '../../src/jobs/scheduler.ts'
import { listSchedules } from '../../src/jobs/schedules.ts'
import { createLogger } from '../../src/observe/log.ts'
import { apiOf } from '../harness/api.ts'
import { startTestApp, type TestApp, tenantKey } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/* Schedules, brought to what the queue file says at each start: nothing twice, nothing lost, nothing of anybody else's. */

const payload = z.object({ what: z.string() })
const never = '0 0 1 1 *'

type Schedule = NonNullable<Parameters<typeof defineQueue<typeof payload>>[0]['schedule']>
const queueOf = (schedule?: Schedule, more: object = {}): AnyQueue =>
  defineQueue({ name: 'nightly', payload, ...(schedule ? { schedule } : {}), ...more })

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())

const open: TestApp[] = []
afterEach(async () => {
  for (const app of open.splice(0)) await app.close()
})

/** One process on the queue as it is defined now; the same prefix makes it one after the other on the same store. */
async function start(
  queue: AnyQueue,
  {
    prefix = freshId('p'),
    roles = 'scheduler',
    workers = [],
  }: { prefix?: string; roles?: string; workers?: AnyWorker[] },
): Promise<TestApp> {
  const definitions = { queues: [queue, quarantine], workers, ignored: [] }
  const app = await startTestApp(redis.url, { definitions, env: { KEY_PREFIX: prefix, ROLES: roles, PORT: '0' } })
  open.push(app)
  return { ...app, prefix }
}

const bullOf = (app: TestApp) => {
  const bull = app.bull.get('nightly')
  if (!bull) throw new Error('there is no queue')
  return bull
}
const pending = async (app: TestApp) =>
  (await bullOf(app).getDelayed()).map(({ id, data, opts }) => ({ id, data, opts }))
const next = async (app: TestApp) => (await listSchedules(bullOf(app)))[0]?.next ?? ''

/** As after a time in which nobody was there: the next run is due since a while. */
async function pretendMissed(app: TestApp, agoMs = 60_000): Promise<number> {
  const bull = bullOf(app)
  const at = Math.floor((Date.now() - agoMs) / 1_000) * 1_000
  const [old] = await redis.client.zrange(bull.toKey('delayed'), '0', '-1')
  const id = `repeat:millrace.default:${at}`
  const opts = JSON.parse((await redis.client.hget(bull.toKey(old ?? ''), 'opts')) ?? '')
  await redis.client
    .multi()
    .zadd(bull.toKey('repeat'), at, 'millrace.default')
    .zrem(bull.toKey('delayed'), old ?? '')
    .zadd(bull.toKey('delayed'), at * 0x1000, id)
    .rename(bull.toKey(old ?? ''), bull.toKey(id))
    .hset(bull.toKey(id), 'opts', JSON.stringify({ ...opts, prevMillis: at }))
    .exec()
  return at
}

describe('at a start', () => {
  it('adds what is new, keeps what is the same, changes what is not, removes what has gone, and touches no other', async () => {
    const both = [
      { id: 'a', cron: never, payload: { what: 'a' } },
      { id: 'b', cron: never, payload: { what: 'b' } },
    ]
    const first = await start(queueOf(both), {})
    const { prefix } = first
    expect((await pending(first)).map(({ data }) => data.what).sort()).toEqual(['a', 'b'])
    await bullOf(first).upsertJobScheduler('somebody-elses', { pattern: never }, { name: 'x', data: {} })
    const before = await redis.client.hgetall(bullOf(first).toKey('repeat:millrace.a'))
    await first.close()

    const changed = [both[0], { id: 'c', every: '1h', payload: { what: 'c' } }]
    const second = await start(queueOf(changed as Schedule), { prefix })
    expect((await listSchedules(bullOf(second))).map(({ id }) => id).sort()).toEqual(['a', 'c'])
    expect(await redis.client.hgetall(bullOf(second).toKey('repeat:millrace.a'))).toEqual(before)
    expect((await pending(second)).map(({ data }) => data.what).sort()).toEqual(['a', 'c', undefined])
    await second.close()

    const third = await start(queueOf([{ id: 'a', cron: '30 4 1 1 *', tz: 'Europe/Berlin', payload: { what: 'A' } }]), {
      prefix,
    })
    expect((await pending(third)).map(({ data }) => data.what).sort()).toEqual(['A', undefined])
    expect(await listSchedules(bullOf(third))).toMatchObject([
      { id: 'a', cron: '30 4 1 1 *', tz: 'Europe/Berlin', next: expect.stringContaining('-01-01T03:30:00.000Z') },
    ])
    expect((await bullOf(third).getJobSchedulers()).map(({ key }) => key).sort()).toEqual([
      'millrace.a',
      'somebody-elses',
    ])
  })

  it('counts the slots of every from the epoch, and a change of the payload keeps the slot', async () => {
    const first = await start(queueOf({ every: '1h', payload: { what: 'old' } }), {})
    const due = await next(first)
    expect(due).toMatch(/T\d\d:00:00\.000Z$/)
    await first.close()
    const second = await start(queueOf({ every: '1h', payload: { what: 'new' } }), first)
    expect((await pending(second)).map(({ data }) => data.what)).toEqual(['new'])
    expect(await next(second)).toBe(due)
    await second.close()
    // BullMQ's own upsert would run at once when the time between changes.
    const third = await start(queueOf({ every: '2h', payload: { what: 'new' } }), first)
    expect(Date.parse(await next(third)) % 7_200_000).toBe(0)
    expect(Date.parse(await next(third))).toBeGreaterThan(Date.now())
  })

  it('neither loses nor doubles a run that is due when its schedule is changed', async () => {
    const first = await start(queueOf({ cron: never, payload: { what: 'due' } }), {})
    await pretendMissed(first)
    await first.close()
    const ran: string[] = []
    const changed = queueOf({ every: '1d', payload: { what: 'later' } })
    const work = defineWorker(changed, ({ payload: { what } }) => void ran.push(what))
    const second = await start(changed, { prefix: first.prefix, roles: 'worker,scheduler', workers: [work] })
    await until(() => ran.length > 0, 'the due run was taken')
    expect(await pending(second)).toMatchObject([{ data: { what: 'later' } }])
    expect(ran).toEqual(['due'])
  })

  it('refuses a payload that does not fit, naming the file', async () => {
    const wrong = queueOf({ cron: never, payload: { what: 7 } as never })
    await expect(start(wrong, {})).rejects.toMatchObject({
      code: 'invalid-definition',
      message: expect.stringMatching(/^queues\/nightly\.ts: the payload of schedule 'default': what: /),
    })
  })
})

describe('missed runs', () => {
  it.each([
    ['once', ['default'], 'worker,scheduler'],
    ['skip', [], 'worker,scheduler'],
    ['skip', [], 'worker'],
  ] as const)('%s: %j is run by %s', async (missed, expected, roles) => {
    const queue = queueOf({ cron: never, payload: { what: 'default' }, missed })
    const first = await start(queue, {})
    const planned = await next(first)
    await pretendMissed(first)
    await first.close()
    const ran: string[] = []
    const work = defineWorker(queue, ({ payload: { what } }) => void ran.push(what))
    const second = await start(queue, { prefix: first.prefix, roles, workers: [work] })
    await until(async () => (await next(second)) === planned, 'the following run is planned')
    // The worker is at work: a job of its own passes behind whatever was there before.
    await second.enqueue(queue, { what: 'last' })
    await until(() => ran.includes('last'), 'the worker has come to the end')
    expect(ran).toEqual([...expected, 'last'])
    expect((await pending(second)).length).toBe(1)
  })

  it('are not skipped while a worker lives, which may only have no hand free', async () => {
    const queue = queueOf({ cron: never, payload: { what: 'default' }, missed: 'skip' })
    let free = () => {}
    const busy = new Promise<void>((resolve) => {
      free = resolve
    })
    const ran: string[] = []
    const work = defineWorker(
      queue,
      async ({ payload: { what } }) => {
        ran.push(what)
        if (what === 'long') await busy
      },
      { concurrency: 1 },
    )
    const first = await start(queue, { roles: 'worker,scheduler', workers: [work] })
    await first.enqueue(queue, { what: 'long' })
    await until(() => ran.includes('long'), 'it has its hands full')
    await pretendMissed(first)
    const second = await start(queue, first)
    expect(Date.parse(await next(second))).toBeLessThan(Date.now())
    free()
    await until(() => ran.includes('default'), 'the due run is taken')
  })
})

it('plans a run again that has gone', async () => {
  const queue = queueOf({ cron: never, payload: { what: 'x' } })
  const app = await start(queue, {})
  const bull = bullOf(app)
  const [run] = await redis.client.zrange(bull.toKey('delayed'), '0', '-1')
  await redis.client
    .multi()
    .zrem(bull.toKey('delayed'), run ?? '')
    .del(bull.toKey(run ?? ''))
    .exec()
  const log = createLogger({ logLevel: 'silent', logFormat: 'json' })
  const scheduler = new Scheduler({ queues: [queue], bull: app.bull, log, mayChange: true })
  await scheduler.mend()
  expect((await pending(app)).map(({ id }) => id)).toEqual([run])
  // Another definition than the stored one is not this process's to plan by.
  await redis.client.del(bull.toKey(run ?? ''))
  const older = queueOf({ cron: never, payload: { what: 'older' } })
  await new Scheduler({ queues: [older], bull: app.bull, log, mayChange: true }).mend()
  expect(await redis.client.exists(bull.toKey(run ?? ''))).toBe(0)
})

it('lets a process start while the store takes nothing, and makes up for it', async () => {
  const own = await startRedis()
  try {
    const queue = queueOf({ every: '1h', payload: { what: 'x' } })
    const definitions = { queues: [queue, quarantine], workers: [], ignored: [] }
    await own.client.config('SET', 'min-replicas-to-write', '1')
    const app = await startTestApp(own.url, { definitions, env: { ROLES: 'scheduler' } })
    open.push(app)
    expect(await listSchedules(bullOf(app))).toEqual([])
    await own.client.config('SET', 'min-replicas-to-write', '0')
    const log = createLogger({ logLevel: 'silent', logFormat: 'json' })
    await new Scheduler({ queues: [queue], bull: app.bull, log, mayChange: true }).reconcile()
    expect(await listSchedules(bullOf(app))).toMatchObject([{ id: 'default', every: 3_600_000 }])
    await open.pop()?.close()
  } finally {
    await own.stop()
  }
})

it('shows itself in the API, and marks its jobs', async () => {
  const queue = queueOf({ id: 'tick', every: '1s', payload: { what: 'tick' } }, { retry: { attempts: 3 } })
  const work = defineWorker(queue, ({ id, enqueuedAt }) => ({ isSlot: id.endsWith(`:${enqueuedAt.getTime()}`) }))
  const app = await start(queue, { roles: 'http,worker,scheduler', workers: [work] })
  const { read } = apiOf(() => app)
  type Answer = { schedules?: { id: string; every?: number; next: string; last?: string; lastJob?: string }[] }
  const [shown] = await until(async () => {
    const { schedules = [] } = await read<Answer>('/queues/nightly')
    return schedules[0]?.last === undefined ? undefined : schedules
  }, 'a run was started')
  expect(shown).toMatchObject({ id: 'tick', every: 1_000, tz: 'UTC' })
  const job = await read(`/queues/nightly/jobs/${shown?.lastJob}`)
  expect(job).toMatchObject({ schedule: 'tick', name: 'nightly', payload: { what: 'tick' }, attempts: 3 })
  const ended = () => read<{ result: unknown }>(`/queues/nightly/jobs/${shown?.lastJob}`)
  expect(await until(async () => (await ended()).result, 'it has ended')).toEqual({ isSlot: true })
  expect(await read<Answer>('/queues/nightly', { key: tenantKey })).not.toHaveProperty('schedules')
})
