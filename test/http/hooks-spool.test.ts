import { readdirSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue } from '../../src/index.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { jobsOf } from '../harness/jobs.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId, mention, post } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/* While the store takes nothing, genuine events are taken all the same, and are one job each when it is back. */

const posts = defineQueue({ name: 'posts', on: ['slack:*', '!slack:reaction_added'], payload: z.looseObject({}) })
const definitions = { queues: [posts, quarantine], workers: [], ignored: [] }
const boundMs = 2_000

let redis: TestRedis
let app: TestApp
afterEach(async () => {
  redis?.signal('SIGCONT')
  await app?.close()
  await redis?.stop()
})

async function start(conf: Record<string, string> = {}, env: Record<string, string> = {}): Promise<void> {
  redis = await startRedis(conf)
  app = await startTestApp(redis.url, { definitions, env: { ROLES: 'http', ...env } })
}

const event = (id: string, type = 'app_mention') =>
  mention(id, { event: { type, user: 'U1', text: id, channel: 'C1' } })

/** Answered in time, and where it says that it is stored. */
async function send(id: string, type?: string): Promise<string | null> {
  const began = performance.now()
  const response = await post(app.url, event(id, type))
  expect(response.status).toBe(200)
  expect(performance.now() - began).toBeLessThan(boundMs)
  return response.headers.get('millrace-stored')
}

const sendAll = (count: number) => {
  const ids = Array.from({ length: count }, () => freshId())
  return Promise.all(ids.map(async (id) => ({ id, stored: await send(id) })))
}

const stored = async (queue = 'posts') => (await jobsOf(app, queue)).map(({ meta }) => meta.event).sort()
async function check(name: string): Promise<{ state: string; detail: string }> {
  const { checks } = (await (await fetch(`${app.url}/readyz`)).json()) as {
    checks: Record<string, { state: string; detail: string }>
  }
  return checks[name] ?? { state: 'missing', detail: '' }
}
const metric = async (name: string) =>
  Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(await (await fetch(`${app.url}/metrics`)).text())?.[1])

async function expectSpooledThenStored(breakIt: () => unknown, mendIt: () => unknown): Promise<void> {
  const before = await sendAll(3)
  expect(before.map(({ stored }) => stored)).toEqual(['queue', 'queue', 'queue'])
  await breakIt()
  const during = await sendAll(40)
  expect(new Set(during.map(({ stored }) => stored))).toEqual(new Set(['spool']))
  // A sender that repeats what it has sent, on either side of the fault.
  expect(await send(during[0]?.id ?? '')).toBe('spool')
  expect(await send(before[0]?.id ?? '')).toBe('spool')
  await until(async () => (await metric('millrace_spool_events')) === 42, 'the metric counts them')
  expect((await check('spool')).detail).toMatch(/^42 events wait, the oldest for \d+ s/)

  await mendIt()
  const ids = [...before, ...during].map(({ id }) => id)
  await until(async () => (await stored()).length >= ids.length, 'all are stored', 15_000)
  await until(async () => (await metric('millrace_spool_events')) === 0, 'the spool is empty')
  expect(await stored()).toEqual(ids.sort())
  expect((await check('spool')).state).toBe('ok')
  expect(await send(freshId())).toBe('queue')
}

describe('a store', () => {
  it('that hangs', async () => {
    await start()
    await expectSpooledThenStored(
      () => redis.signal('SIGSTOP'),
      () => redis.signal('SIGCONT'),
    )
  })

  it('that was killed', async () => {
    await start()
    await expectSpooledThenStored(
      () => redis.kill(),
      () => redis.restart(),
    )
  })

  it('that has become a read-only replica', async () => {
    await start()
    await expectSpooledThenStored(
      () => redis.client.replicaof('127.0.0.1', '1'),
      () => redis.client.replicaof('NO', 'ONE'),
    )
  })

  it('that refuses writes', async () => {
    await start()
    await expectSpooledThenStored(
      () => redis.client.config('SET', 'min-replicas-to-write', '1'),
      () => redis.client.config('SET', 'min-replicas-to-write', '0'),
    )
  })

  it('above the watermark', async () => {
    await start({ maxmemory: '30mb' }, { MEMORY_WATERMARK: '0.5' })
    await expectSpooledThenStored(
      async () => {
        for (let n = 0; n < 18; n += 1) await redis.client.rpush('foreign', 'x'.repeat(1_000_000))
        await until(async () => (await check('memory')).state === 'fail', 'it is seen')
      },
      () => redis.client.del('foreign'),
    )
  })
})

describe('the spool', () => {
  it('keeps what no queue takes and what cannot be read as well, for quarantine', async () => {
    await start()
    await redis.kill()
    const id = freshId()
    expect(await send(id, 'reaction_added')).toBe('spool')
    const unreadable = await post(app.url, '[1]')
    expect([unreadable.status, unreadable.headers.get('millrace-stored')]).toEqual([200, 'spool'])
    await redis.restart()
    await until(async () => (await stored('quarantine')).length === 2, 'both are in quarantine')
    expect(await stored('quarantine')).toEqual([id, unreadable.headers.get('millrace-event')].sort())
  })

  it('is drained in order', async () => {
    await start()
    await redis.kill()
    const ids: string[] = []
    for (let n = 0; n < 30; n += 1) {
      ids.push(freshId())
      await send(ids.at(-1) ?? '')
    }
    await redis.restart()
    await until(async () => (await stored()).length === ids.length, 'all are stored')
    const order = await redis.client.lrange(`${app.prefix}:posts:wait`, '0', '-1')
    const jobs = new Map((await jobsOf(app, 'posts')).map(({ id, meta }) => [id, meta.event]))
    expect(order.reverse().map((id) => jobs.get(id))).toEqual(ids)
  })

  it('refuses what is beyond its limit in time, and what it has taken is stored', async () => {
    await start({}, { SPOOL_LIMIT: '1mb' })
    await redis.kill()
    const taken: string[] = []
    const big = 'x'.repeat(200_000)
    const refused = await until(async () => {
      const id = freshId()
      const began = performance.now()
      const response = await post(app.url, mention(id, { event: { type: 'app_mention', text: big } }))
      expect(performance.now() - began).toBeLessThan(boundMs)
      if (response.status === 200) taken.push(id)
      // A busy disk may refuse as well; what is looked for is the limit.
      return response.status === 503 && taken.length > 2 ? response : undefined
    }, 'it is full')
    expect(refused.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(await refused.json()).toMatchObject({ code: 'spool-unavailable' })
    await redis.restart()
    await until(async () => (await stored()).length === taken.length, 'all are stored')
    expect(await stored()).toEqual(taken.sort())
  })

  it('is not there with SPOOL_LIMIT=0', async () => {
    await start({}, { SPOOL_LIMIT: '0' })
    await redis.kill()
    expect((await post(app.url, event(freshId()))).status).toBe(503)
    expect(readdirSync(app.dataDir)).not.toContain('spool')
    expect((await check('spool')).detail).toBe('off')
  })
})
