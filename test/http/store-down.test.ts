import { afterEach, describe, expect, it } from 'vitest'
import { adminKey, startTestApp, type TestApp } from '../harness/app.ts'
import { jobIn, jobsOfEvent } from '../harness/jobs.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId, mention, post } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/* ACK_DEADLINE is at its default of 1,500 ms: that, and a little for a busy machine, is how long a sender may wait. */
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
  // Without the spool, which takes what is refused here: hooks-spool.test.ts.
  app = await startTestApp(redis.url, { env: { SPOOL_LIMIT: '0', ...env } })
}

const get = (path: string) => fetch(`${app.url}${path}`)

/** Refused in time, with a hint when to come again, and with nothing that looks like an acknowledgement. */
async function expectRefusal(send: () => Promise<Response>, withinMs = boundMs): Promise<void> {
  const began = performance.now()
  const response = await send()
  const took = performance.now() - began
  expect(await response.json()).toMatchObject({ status: 503, code: 'store-unavailable' })
  expect(response.status).toBe(503)
  expect(Number(response.headers.get('retry-after'))).toBeGreaterThanOrEqual(1)
  expect(response.headers.has('millrace-stored')).toBe(false)
  expect(took).toBeLessThan(withinMs)
}

/** What needs no store works without one. */
async function expectTheRestToWork(): Promise<void> {
  const challenge = freshId()
  const echo = await post(app.url, JSON.stringify({ type: 'url_verification', challenge }))
  expect([echo.status, await echo.text()]).toEqual([200, challenge])
  const sslCheck = { method: 'POST', body: new URLSearchParams({ ssl_check: '1' }) }
  expect((await fetch(`${app.url}/hooks/slack`, sslCheck)).status).toBe(200)
  expect((await post(app.url, mention(), { secret: 'guessed' })).status).toBe(401)
  expect((await get('/healthz')).status).toBe(200)
  expect((await get('/dashboard/sign-in')).status).toBe(200)
}

type Ready = { status: string; checks: Record<string, { state: string; detail: string }> }

async function readiness(): Promise<{ status: number; failed: string[]; checks: Ready['checks'] }> {
  const response = await get('/readyz')
  const { checks } = (await response.json()) as Ready
  const failed = Object.keys(checks).filter((name) => checks[name]?.state === 'fail')
  return { status: response.status, failed, checks }
}

const readyAgain = () => until(async () => (await readiness()).status === 200, 'it is ready again')

async function notReady(check: string, withinMs?: number): Promise<Awaited<ReturnType<typeof readiness>>> {
  const ready = await until(
    async () => {
      const now = await readiness()
      return now.failed.includes(check) && now
    },
    `/readyz names ${check}`,
    withinMs,
  )
  if (!ready) throw new Error('unreachable')
  expect(ready.status).toBe(503)
  expect((await get('/healthz')).status).toBe(200)
  return ready
}

describe('a store that hangs', () => {
  it('is answered for within the deadline, and the event is one job when it goes on', async () => {
    await start()
    const [id, before] = [freshId(), freshId()]
    expect((await post(app.url, mention(before))).status).toBe(200)
    redis.signal('SIGSTOP')
    await expectRefusal(() => post(app.url, mention(id)))
    // Behind one that already waits, and a duplicate of one that is stored.
    await Promise.all([mention(id), mention(), mention(before)].map((body) => expectRefusal(() => post(app.url, body))))
    await expectTheRestToWork()
    await notReady('store')

    redis.signal('SIGCONT')
    await until(async () => (await post(app.url, mention(id))).status === 200, 'it takes the event')
    await jobIn(app, 'slack-events', id, 'completed')
    expect(await jobsOfEvent(app, 'slack-events', id)).toHaveLength(1)
    await readyAgain()
  })

  it('is answered for to everybody, however many wait', async () => {
    await start()
    redis.signal('SIGSTOP')
    // They go out in batches of 128, one after the other: the waits of four of them must not add up.
    await Promise.all(Array.from({ length: 500 }, () => expectRefusal(() => post(app.url, mention()), 10_000)))
    redis.signal('SIGCONT')
    await until(async () => (await post(app.url, mention())).status === 200, 'it takes events again')
  })
})

describe('a store that was killed', () => {
  it('is answered for at once, and is found again by itself', async () => {
    await start()
    const [id, before] = [freshId(), freshId()]
    await post(app.url, mention(before))
    // Done, so that it is not in the worker's hand: then it would come back when its lock has run out, which takes 40 s.
    await jobIn(app, 'slack-events', before, 'completed')
    await redis.kill()
    await expectRefusal(() => post(app.url, mention(id)), 500)
    await expectTheRestToWork()
    const { failed } = await notReady('store')
    expect(failed).toEqual(expect.arrayContaining(['store', 'writable', 'worker:slack-events']))
    await expectRefusal(() => post(app.url, mention(id)), 500)

    await redis.restart()
    await until(async () => (await post(app.url, mention(id))).status === 200, 'it takes the event')
    await jobIn(app, 'slack-events', id, 'completed')
    await jobIn(app, 'slack-events', before, 'completed')
    expect(await jobsOfEvent(app, 'slack-events', id)).toHaveLength(1)
    expect((await post(app.url, mention(before))).headers.get('millrace-duplicate')).toBe('true')
    await readyAgain()
  })

  it('is no internal error to those who look', async () => {
    await start()
    const signedIn = await fetch(`${app.url}/dashboard/sign-in`, {
      method: 'POST',
      redirect: 'manual',
      headers: { origin: app.url },
      body: new URLSearchParams({ key: adminKey }),
    })
    const headers = { cookie: signedIn.headers.get('set-cookie')?.split(';')[0] ?? '' }
    const bearer = { authorization: `Bearer ${adminKey}` }
    await redis.kill()
    await notReady('store')
    const asked = [
      ['/api/queues', bearer],
      ['/api/queues/slack-events', bearer],
      ['/api/queues/slack-events/jobs', bearer],
      ['/api/queues/slack-events/jobs/some-id', bearer],
      ['/dashboard', headers],
    ] as const
    const statuses = await Promise.all(
      asked.map(async ([path, headers]) => (await fetch(`${app.url}${path}`, { headers, redirect: 'manual' })).status),
    )
    expect(statuses).toEqual(asked.map(() => 503))
    // The overview is what people look at in such an hour, so it does without the store.
    expect(await (await fetch(`${app.url}/dashboard`, { headers: bearer })).text()).toContain('does not answer')
    // The others tell a person when to come back, in words and not by a header.
    const dead = await fetch(`${app.url}/dashboard/dead`, { headers: { ...bearer, accept: 'text/html' } })
    expect(dead.status).toBe(503)
    expect(await dead.text()).toMatch(/Try again in \d+ s\./)
  })
})

describe('a store that fills up', () => {
  it('gets no new work above the watermark, and gets it again below', async () => {
    await start({ maxmemory: '32mb' }, { MEMORY_WATERMARK: '0.5' })
    const id = freshId()
    expect((await post(app.url, mention(id))).status).toBe(200)
    for (let i = 0; i < 20; i += 1) await redis.client.set(`filler:${i}`, 'x'.repeat(1024 ** 2))
    const { checks, failed } = await notReady('memory')
    expect(failed).toEqual(['memory'])
    expect(checks.memory?.detail).toMatch(/\d+ % full/)
    await expectRefusal(() => post(app.url, mention()), 500)
    await expectTheRestToWork()
    // What is in it is worked on all the same: that is how it gets empty.
    await jobIn(app, 'slack-events', id, 'completed')

    await redis.client.del(...Array.from({ length: 20 }, (_, i) => `filler:${i}`))
    await until(async () => (await post(app.url, mention())).status === 200, 'it takes events again')
    await readyAgain()
  })

  it('and refuses a write before the watch has seen it is answered for just the same', async () => {
    await start({ maxmemory: '32mb' })
    expect((await post(app.url, mention())).status).toBe(200)
    const id = freshId()
    await redis.client.config('SET', 'maxmemory', '1')
    await expectRefusal(() => post(app.url, mention(id)), 500)
    await redis.client.config('SET', 'maxmemory', '0')
    await until(async () => (await post(app.url, mention(id))).status === 200, 'it takes events again')
    // Nothing of the refused one was left behind that would make this one a duplicate of nothing.
    await jobIn(app, 'slack-events', id, 'completed')
  })
})

describe('a store that has become a replica', () => {
  /** Of a master that is not there; nothing is copied, but it takes no more writes. */
  const demote = () => redis.client.replicaof('127.0.0.1', 1)

  it('is answered for in time, and works again as a master', async () => {
    await start()
    expect((await post(app.url, mention())).status).toBe(200)
    await demote()
    const id = freshId()
    await expectRefusal(() => post(app.url, mention(id)))
    await expectTheRestToWork()
    await expectRefusal(() => post(app.url, mention(id)))

    await redis.client.replicaof('NO', 'ONE')
    await until(async () => (await post(app.url, mention(id))).status === 200, 'it takes the event')
    await jobIn(app, 'slack-events', id, 'completed')
    expect(await jobsOfEvent(app, 'slack-events', id)).toHaveLength(1)
    await readyAgain()
  })

  it('is named as not writable', async () => {
    await start()
    await demote()
    await notReady('writable', 10_000)
  })
})
