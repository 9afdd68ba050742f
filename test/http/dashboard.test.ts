import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { adminKey, apiKeys, startTestApp, type TestApp, tenantKey, viewerKey } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { type SignIn, signIn } from '../harness/session.ts'

let redis: TestRedis
let app: TestApp
beforeAll(async () => {
  redis = await startRedis()
  app = await startTestApp(redis.url)
})
afterAll(async () => {
  await app?.close()
  await redis?.stop()
})

const get = (path: string, headers: Record<string, string> = {}) =>
  fetch(`${app.url}${path}`, { redirect: 'manual', headers: { accept: 'text/html', ...headers } })
const isSignedIn = async ({ cookie }: Pick<SignIn, 'cookie'>, at = app) =>
  (await fetch(`${at.url}/dashboard`, { redirect: 'manual', headers: { cookie } })).status === 200

/** Wrong keys are counted by address; with one of its own, a test is not in the way of another. */
let last = 0
const fromElsewhere = () => {
  last += 1
  return { 'x-forwarded-for': `192.0.2.${last}` }
}

describe('somebody who is not signed in', () => {
  it.each(['/dashboard', '/dashboard/', '/dashboard/queues', '/dashboard/queues/queue/slack-events?status=failed'])(
    'is led to the form, and back: %s',
    async (path) => {
      const response = await get(path)
      expect(response.status).toBe(303)
      expect(response.headers.get('location')).toBe(`/dashboard/sign-in?to=${encodeURIComponent(path)}`)
    },
  )

  it('sees nothing, not even as a program', async () => {
    for (const path of ['/dashboard/queues/api/queues', '/dashboard/queues/static/js/main.js']) {
      const response = await get(path, { accept: 'application/json' })
      expect([path, response.status]).toEqual([path, 401])
    }
    expect((await get('/')).headers.get('location')).toBe('/dashboard')
  })

  it('gets a form that no cache keeps, with what was asked for escaped in it', async () => {
    const response = await get(`/dashboard/sign-in?to=${encodeURIComponent('/dashboard/"><script>alert(1)</script>')}`)
    expect(response.headers.get('cache-control')).toBe('no-store')
    const page = await response.text()
    expect(page).toContain('value="/dashboard/&#34;&#62;&#60;script&#62;')
    expect(page).not.toContain('<script')
  })
})

describe('signing in', () => {
  it.each(['nobody-knows-this-key', '', ' ', `${adminKey}x`])('with the wrong key %j is refused', async (key) => {
    const refused = await signIn(app.url, key, { headers: fromElsewhere() })
    expect(refused.status).toBe(401)
    expect(refused.page).toContain('This key is not known.')
    expect(refused.setCookie).toBeUndefined()
    // Not shown again: somebody may be looking.
    if (key.trim()) expect(refused.page).not.toContain(key)
  })

  it('with the right key gives a cookie that scripts cannot read and other sites cannot use', async () => {
    const done = await signIn(app.url, ` ${adminKey}\n`, { to: '/dashboard/queues/queue/slack-events' })
    expect([done.status, done.location]).toEqual([303, '/dashboard/queues/queue/slack-events'])
    const attributes = done.setCookie?.split('; ').slice(1).sort()
    expect(attributes).toEqual([expect.stringMatching(/^Expires=/), 'HttpOnly', 'Path=/', 'SameSite=Lax'])
    expect(await isSignedIn(done)).toBe(true)
    const page = await (await get('/dashboard', { cookie: done.cookie })).text()
    expect(page).toContain('ada (admin)')
    expect(page).toContain('slack-events')
    expect((await get('/dashboard/sign-in', { cookie: done.cookie })).headers.get('location')).toBe('/dashboard')
  })

  it('behind a proxy that speaks TLS gives a cookie for TLS alone', async () => {
    const proxied = { 'x-forwarded-proto': 'https', origin: app.url.replace('http:', 'https:') }
    expect((await signIn(app.url, adminKey, { headers: proxied })).setCookie).toMatch(/; Secure/)
  })

  it('leaves neither the key nor the cookie in the store', async () => {
    const { cookie } = await signIn(app.url, adminKey)
    const id = decodeURIComponent(cookie).split(':')[1]?.split('.')[0] ?? ''
    const key = `${app.prefix}:session:${id}`
    const value = await redis.client.get(key)
    expect(value).toContain('keyId')
    expect(value).not.toContain(adminKey)
    expect(await redis.client.pttl(key)).toBeGreaterThan(11 * 3_600_000)
  })

  it('makes a new session, so that one that was planted is worth nothing', async () => {
    const first = await signIn(app.url, viewerKey)
    const second = await signIn(app.url, adminKey, { headers: { cookie: first.cookie } })
    expect(second.cookie).toMatch(/^millrace=s%3A/)
    expect(second.cookie).not.toBe(first.cookie)
    expect(await isSignedIn(second)).toBe(true)
    expect(await isSignedIn(first)).toBe(false)

    const planted = 'millrace=s%3Aplanted.signature'
    const third = await signIn(app.url, adminKey, { headers: { cookie: planted } })
    expect(third.cookie).not.toContain('planted')
    expect(await isSignedIn({ cookie: planted })).toBe(false)
  })

  it.each([
    'https://evil.example/dashboard',
    '//evil.example',
    '//evil.example/dashboard',
    '/\\evil.example',
    '/dashboard\\..\\\\evil.example',
    '/dashboardx',
    '/dashboard.evil.example',
    'javascript:alert(1)',
    'dashboard',
    '/api/queues',
    '\t//evil.example',
    '',
  ])('leads nowhere but to the dashboard: not to %j', async (to) => {
    expect((await signIn(app.url, adminKey, { to })).location).toBe('/dashboard')
    expect(await (await get(`/dashboard/sign-in?to=${encodeURIComponent(to)}`)).text()).toContain(
      'name="to" value="/dashboard">',
    )
  })

  it('is refused after ten wrong keys in a minute, for that address alone', async () => {
    const headers = fromElsewhere()
    const statuses = []
    for (let i = 0; i < 11; i += 1) statuses.push((await signIn(app.url, `wrong-key-number-${i}`, { headers })).status)
    expect(statuses).toEqual([...Array(10).fill(401), 429])
    const right = await signIn(app.url, adminKey, { headers })
    expect(right.status).toBe(429)
    expect(right.setCookie).toBeUndefined()
    const wait = Number(right.headers.get('retry-after'))
    expect(wait).toBeGreaterThan(0)
    expect(wait).toBeLessThanOrEqual(60)
    expect(JSON.parse(right.page)).toMatchObject({ status: 429, code: 'too-many-attempts' })
    expect((await signIn(app.url, adminKey, { headers: fromElsewhere() })).status).toBe(303)
  })

  it('and signing out again leaves nothing of the session', async () => {
    const done = await signIn(app.url, viewerKey)
    expect(await isSignedIn(done)).toBe(true)
    const out = await fetch(`${app.url}/dashboard/sign-out`, {
      method: 'POST',
      redirect: 'manual',
      headers: { origin: app.url, cookie: done.cookie },
    })
    expect([out.status, out.headers.get('location')]).toEqual([303, '/dashboard/sign-in'])
    expect(await isSignedIn(done)).toBe(false)
  })

  it('is not for a key of one tenant: the pages show all', async () => {
    const { cookie } = await signIn(app.url, tenantKey)
    for (const path of ['/dashboard', '/dashboard/queues', '/dashboard/queues/api/queues'])
      expect([path, (await get(path, { cookie })).status]).toEqual([path, 403])
  })
})

describe('a session', () => {
  it('whose cookie was altered is none', async () => {
    const { cookie } = await signIn(app.url, adminKey)
    for (const altered of [`${cookie}x`, cookie.slice(0, -1), cookie.replace('s%3A', ''), cookie.replace(/\..*/, '')])
      expect(await isSignedIn({ cookie: altered })).toBe(false)
  })

  it('ends when its key is taken away', async () => {
    const viewer = await signIn(app.url, viewerKey)
    expect(await isSignedIn(viewer)).toBe(true)
    const remaining = JSON.parse(apiKeys).filter(({ key }: { key: string }) => key !== viewerKey)
    // The same store and prefix, as after a restart.
    const next = await startTestApp(redis.url, {
      env: { KEY_PREFIX: app.prefix, API_KEYS: JSON.stringify(remaining) },
    })
    try {
      expect(await isSignedIn(viewer, next)).toBe(false)
      const bearer = { authorization: `Bearer ${viewerKey}` }
      expect((await fetch(`${next.url}/api/queues`, { headers: bearer })).status).toBe(401)
      expect((await signIn(next.url, viewerKey)).status).toBe(401)
      expect(await isSignedIn(await signIn(next.url, adminKey), next)).toBe(true)
    } finally {
      await next.close()
    }
  })

  it('is good in every process that has the same keys', async () => {
    const admin = await signIn(app.url, adminKey)
    const other = await startTestApp(redis.url, { env: { KEY_PREFIX: app.prefix } })
    try {
      expect(await isSignedIn(admin, other)).toBe(true)
    } finally {
      await other.close()
    }
  })
})
