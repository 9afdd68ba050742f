import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue, defineWorker } from '../../src/index.ts'
import { apiOf } from '../harness/api.ts'
import { adminKey, startTestApp, type TestApp, tenantKey, viewerKey } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

const queue = defineQueue({ name: 'calls', payload: z.object({ to: z.string() }) })
const worker = defineWorker(queue, async ({ payload: { to } }, { limits }) => {
  const { ok, remaining } = await limits.take(to, { max: 2, per: '1h' })
  return { ok, remaining }
})

let redis: TestRedis
let cache: TestRedis
let apps: TestApp[]
beforeEach(async () => {
  ;[redis, cache] = await Promise.all([startRedis(), startRedis({ appendonly: 'no' })])
  apps = []
})
afterEach(async () => {
  cache?.signal('SIGCONT')
  await Promise.all(apps.map((app) => app.close()))
  await Promise.all([redis?.stop(), cache?.stop()])
})

async function start(env: Record<string, string> = {}, limitPatienceMs?: number): Promise<TestApp> {
  const app = await startTestApp(redis.url, {
    limitPatienceMs,
    env: { CACHE_REDIS_URL: cache.url, ...env },
    definitions: { queues: [queue, quarantine], workers: [worker], ignored: [] },
  })
  apps.push(app)
  return app
}

const metric = async (app: TestApp, name: string) =>
  Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(await (await fetch(`${app.url}/metrics`)).text())?.[1])

describe('the API', () => {
  it('answers so many requests of a key, in all processes together, and says how many are left', async () => {
    const KEY_PREFIX = freshId('p')
    const [one, two] = [await start({ API_RATE: '4/1h', KEY_PREFIX }), await start({ API_RATE: '4/1h', KEY_PREFIX })]
    const answers: Response[] = []
    for (const app of [one, two, one, two, one, two]) answers.push(await apiOf(() => app).ask('/queues'))
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 429, 429])
    expect(answers.map(({ headers }) => headers.get('ratelimit'))).toEqual([
      ...[3, 2, 1, 0].map((left) => `"api";r=${left};t=3600`),
      expect.stringMatching(/^"api";r=0;t=(3600|35\d\d)$/),
      expect.stringMatching(/^"api";r=0;t=(3600|35\d\d)$/),
    ])
    const refused = answers[4]
    expect(refused?.headers.get('ratelimit-policy')).toBe('"api";q=4;w=3600')
    expect(refused?.headers.get('content-type')).toContain('application/problem+json')
    expect(refused?.headers.get('ratelimit')).toContain(`t=${refused?.headers.get('retry-after')}`)
    expect(await refused?.json()).toMatchObject({
      status: 429,
      code: 'over-quota',
      detail: "the key 'ada' has its 4 requests in 1h",
    })
    // Others have theirs, and what watches the process is not counted.
    for (const key of [viewerKey, tenantKey]) expect((await apiOf(() => one).ask('/queues', { key })).status).toBe(200)
    for (const path of ['healthz', 'readyz', 'metrics'])
      for (let i = 0; i < 6; i += 1) expect((await fetch(`${one.url}/${path}`)).status).toBe(200)
    expect((await apiOf(() => one).ask('/queues', { key: 'none' })).status).toBe(401)
  })

  it('refuses nobody with API_RATE=off', async () => {
    const app = await start({ API_RATE: 'off' })
    const response = await apiOf(() => app).ask('/queues')
    expect([response.status, response.headers.get('ratelimit')]).toEqual([200, null])
  })

  it('counts for itself while the cache store hangs, without making anybody wait, and says so in metrics', async () => {
    const app = await start({ API_RATE: '3/1h' }, 50)
    const { ask } = apiOf(() => app)
    expect((await ask('/queues')).status).toBe(200)
    expect(await metric(app, 'millrace_limits_fallback')).toBe(0)
    cache.signal('SIGSTOP')
    const began = performance.now()
    const statuses: number[] = []
    for (let i = 0; i < 5; i += 1) statuses.push((await ask('/queues')).status)
    expect(statuses).toEqual([200, 200, 429, 429, 429])
    // One wait of 50 ms, and whatever a busy machine takes.
    expect(performance.now() - began).toBeLessThan(1_000)
    expect(await metric(app, 'millrace_limits_fallback')).toBe(1)
    cache.signal('SIGCONT')
    await until(async () => {
      await ask('/queues')
      return (await metric(app, 'millrace_limits_fallback')) === 0
    }, 'the store counts again')
  })
})

describe('signing in', () => {
  it('is tried ten times a minute from one address, however many come at once; a right key ends the count', async () => {
    const app = await start()
    const signIn = (key: string) =>
      fetch(`${app.url}/dashboard/sign-in`, {
        method: 'POST',
        redirect: 'manual',
        headers: { origin: app.url },
        body: new URLSearchParams({ key }),
      })
    for (let i = 0; i < 12; i += 1) expect((await signIn(adminKey)).status).toBe(303)
    const guesses = await Promise.all(Array.from({ length: 30 }, (_, i) => signIn(`guess-${i}`)))
    expect(guesses.filter(({ status }) => status === 401)).toHaveLength(10)
    const refused = guesses.find(({ status }) => status === 429)
    expect(await refused?.json()).toMatchObject({ code: 'too-many-attempts' })
    expect(Number(refused?.headers.get('retry-after'))).toBeGreaterThan(50)
    expect((await signIn(adminKey)).status).toBe(429)
  })
})

describe('a handler', () => {
  it("takes from its tenant's limits", async () => {
    const app = await start()
    const run = async (to: string, key = adminKey) => {
      const { read } = apiOf(() => app)
      const path = `/queues/${queue.name}/jobs?wait=10s`
      const { result } = await read(path, { method: 'POST', body: JSON.stringify({ to }), key })
      return result
    }
    expect([await run('crm'), await run('crm'), await run('crm')]).toEqual([
      { ok: true, remaining: 1 },
      { ok: true, remaining: 0 },
      { ok: false, remaining: 0 },
    ])
    expect(await run('mail')).toEqual({ ok: true, remaining: 1 })
    expect(await run('crm', tenantKey)).toEqual({ ok: true, remaining: 1 })
  })
})
