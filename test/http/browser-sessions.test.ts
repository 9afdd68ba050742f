import { afterAll, beforeAll, expect, it } from 'vitest'
import { keys } from '../../src/redis/keys.ts'
import { adminKey, startTestApp, type TestApp } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { signIn } from '../harness/session.ts'
import { until } from '../harness/until.ts'

/* The session of a signed-in browser: in the cache store, sliding; and what the pages are when that store is away. */

let redis: TestRedis
let cache: TestRedis
let app: TestApp
beforeAll(async () => {
  ;[redis, cache] = await Promise.all([startRedis(), startRedis({ appendonly: 'no' })])
  app = await startTestApp(redis.url, { env: { CACHE_REDIS_URL: cache.url } })
})
afterAll(async () => {
  cache?.signal('SIGCONT')
  await app?.close()
  await Promise.all([redis?.stop(), cache?.stop()])
})

const get = (path: string, headers: Record<string, string>) =>
  fetch(`${app.url}${path}`, { headers: { accept: 'text/html', ...headers }, redirect: 'manual' })
const bearer = { authorization: `Bearer ${adminKey}` }

/** sessionTimeoutMs of src/http/sessions.ts, once for reading and once for touching, and what a busy machine adds. */
const boundMs = 4_000

it('is kept for twelve hours from its last use', async () => {
  const { cookie } = await signIn(app.url, adminKey)
  const id = decodeURIComponent(cookie).split(':')[1]?.split('.')[0] ?? ''
  const key = keys.session(app.prefix) + id
  await cache.client.pexpire(key, 60_000)
  expect((await get('/dashboard', { cookie })).status).toBe(200)
  await until(async () => (await cache.client.pttl(key)) > 11.9 * 3_600_000, 'its time starts anew')
})

it.each([
  ['killed', () => cache.kill(), () => cache.restart()],
  ['hanging', () => cache.signal('SIGSTOP'), () => cache.signal('SIGCONT')],
] as const)(
  'with the cache store %s, pages say so soon, and keys work as ever',
  { timeout: 60_000 },
  async (_how, stop, go) => {
    const { cookie } = await signIn(app.url, adminKey)
    await stop()
    try {
      const began = performance.now()
      const page = await get('/dashboard', { cookie })
      expect([page.status, page.headers.has('retry-after')]).toEqual([503, true])
      expect(await page.text()).toContain('Store unavailable')
      expect(performance.now() - began).toBeLessThan(boundMs)
      // Who is not signed in finds the form; it cannot be used yet.
      expect((await get('/dashboard', {})).status).toBe(303)
      expect((await get('/dashboard/sign-in', {})).status).toBe(200)
      expect((await get('/dashboard/sign-in', { cookie })).status).toBe(200)
      const tried = performance.now()
      expect((await signIn(app.url, adminKey)).status).toBe(503)
      expect(performance.now() - tried).toBeLessThan(boundMs)
      // Programs bring their key with each request, and whoever has a cookie as well is no worse off.
      const asked = performance.now()
      expect((await get('/api/queues', bearer)).status).toBe(200)
      expect((await get('/api/queues', { ...bearer, cookie })).status).toBe(200)
      expect(performance.now() - asked).toBeLessThan(boundMs)
    } finally {
      await go()
    }
    await until(async () => (await signIn(app.url, adminKey)).status === 303, 'people can sign in again')
  },
)
