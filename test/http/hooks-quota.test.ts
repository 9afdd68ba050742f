import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue } from '../../src/index.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { jobsOf, jobsOfEvent } from '../harness/jobs.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { githubHeaders, githubSecret, sendTo } from '../harness/signed.ts'
import { freshId, mention, signedHeaders, slackSecret } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

type Quota = { perSecond?: number; perHour?: number; burst?: number }

let redis: TestRedis
let cache: TestRedis
let apps: TestApp[]
beforeEach(async () => {
  ;[redis, cache] = await Promise.all([startRedis(), startRedis()])
  apps = []
})
afterEach(async () => {
  cache?.signal('SIGCONT')
  await Promise.all(apps.map((app) => app.close()))
  await Promise.all([redis?.stop(), cache?.stop()])
})

const events = defineQueue({ name: 'all-events', payload: z.looseObject({}), on: ['github:*', 'slack:*'] })

async function start(
  quotas: { quota?: Quota; tenantQuota?: Quota },
  env: Record<string, string> = {},
  limitPatienceMs?: number,
): Promise<TestApp> {
  const github = { type: 'github', secrets: [githubSecret] }
  const sources = {
    github: { ...github, ...quotas },
    other: { ...github, ...quotas },
    chat: { type: 'slack', secrets: [slackSecret], ...quotas },
  }
  const app = await startTestApp(redis.url, {
    limitPatienceMs,
    env: { SOURCES: JSON.stringify(sources), CACHE_REDIS_URL: cache.url, ...env },
    definitions: { queues: [events, quarantine], workers: [], ignored: [] },
  })
  apps.push(app)
  return app
}

function push(
  app: TestApp,
  { source = 'github', tenant = 'octocat', secret = githubSecret, guid = freshId('g') } = {},
) {
  const body = JSON.stringify({ repository: { owner: { login: tenant } } })
  return sendTo(app.url, source, body, githubHeaders(body, { secret, guid }))
}

const statuses = async (count: number, send: () => Promise<Response>) => {
  const all: number[] = []
  for (let i = 0; i < count; i += 1) all.push((await send()).status)
  return all
}

async function overQuota(app: TestApp, source: string): Promise<number> {
  const text = await (await fetch(`${app.url}/metrics`)).text()
  const [, value = '0'] =
    new RegExp(`^millrace_events_over_quota_total\\{source="${source}"\\} (\\d+)$`, 'm').exec(text) ?? []
  return Number(value)
}

describe("a source's quota", () => {
  it('refuses what is above it, says when to come again, and means it', async () => {
    const app = await start({ quota: { perSecond: 2 } })
    const answers = await Promise.all(Array.from({ length: 20 }, () => push(app)))
    const refused = answers.filter(({ status }) => status === 429)
    // A busy machine may need more than a second for them.
    expect(refused.length).toBeGreaterThan(0)
    expect(answers.length - refused.length).toBeGreaterThanOrEqual(2)
    expect(await jobsOf(app, 'all-events')).toHaveLength(answers.length - refused.length)
    const [first] = refused
    expect(Object.fromEntries(first?.headers ?? [])).toMatchObject({
      'content-type': 'application/problem+json',
      'retry-after': '1',
      'ratelimit-policy': '"source";q=2;w=1',
      ratelimit: '"source";r=0;t=1',
    })
    expect(first?.headers.has('millrace-stored')).toBe(false)
    expect(await first?.json()).toMatchObject({ status: 429, code: 'over-quota', detail: expect.stringContaining('2') })
    expect(await overQuota(app, 'github')).toBe(refused.length)
    await new Promise((resolve) => setTimeout(resolve, 1_050))
    expect((await push(app)).status).toBe(202)
  })

  it('lets more come at once with a burst', async () => {
    const app = await start({ quota: { perSecond: 1, burst: 3 } })
    const answers = await Promise.all(Array.from({ length: 20 }, () => push(app)))
    const taken = answers.filter(({ status }) => status === 202).length
    expect(taken).toBeGreaterThanOrEqual(4)
    expect(taken).toBeLessThan(12)
  })

  it('counts the hour, by all processes together, and each source for itself', async () => {
    const KEY_PREFIX = freshId('p')
    const one = await start({ quota: { perHour: 3 } }, { KEY_PREFIX })
    const two = await start({ quota: { perHour: 3 } }, { KEY_PREFIX })
    expect(await statuses(2, () => push(one))).toEqual([202, 202])
    expect(await statuses(2, () => push(two))).toEqual([202, 429])
    const refused = await push(one)
    expect(refused.headers.get('ratelimit-policy')).toBe('"source";q=3;w=3600')
    const wait = Number(refused.headers.get('retry-after'))
    expect(wait).toBeGreaterThan(3_500)
    expect(wait).toBeLessThanOrEqual(3_600)
    expect(refused.headers.get('ratelimit')).toBe(`"source";r=0;t=${wait}`)
    expect((await push(one, { source: 'other' })).status).toBe(202)
  })

  it('is not used up by forgeries', async () => {
    const app = await start({ quota: { perHour: 1 } })
    expect(await statuses(5, () => push(app, { secret: 'guessed' }))).toEqual(Array(5).fill(401))
    expect(await statuses(2, () => push(app))).toEqual([202, 429])
  })

  it('takes what comes again after it was refused', async () => {
    const app = await start({ quota: { perSecond: 1 } })
    const guid = freshId('g')
    await until(async () => (await push(app)).status === 202 && (await push(app, { guid })).status === 429, 'refused')
    await until(async () => (await push(app, { guid })).status === 202, 'taken')
    expect(await jobsOfEvent(app, 'all-events', guid)).toHaveLength(1)
  })
})

describe("a tenant's quota", () => {
  it('is its own, in each source', async () => {
    const app = await start({ tenantQuota: { perHour: 2 } })
    expect(await statuses(3, () => push(app, { tenant: 'one' }))).toEqual([202, 202, 429])
    expect(await statuses(3, () => push(app, { tenant: 'two' }))).toEqual([202, 202, 429])
    expect((await push(app, { source: 'other', tenant: 'one' })).status).toBe(202)
    const refused = await push(app, { tenant: 'one' })
    expect(refused.headers.get('ratelimit-policy')).toBe('"tenant";q=2;w=3600')
    // Nobody's events are one tenant's together.
    const send = () => sendTo(app.url, 'github', '{}', githubHeaders('{}'))
    expect(await statuses(4, send)).toEqual([202, 202, 429, 429])
  })

  it('keeps one tenant from using up what the source has for all', async () => {
    const app = await start({ quota: { perHour: 4 }, tenantQuota: { perHour: 2 } })
    expect(await statuses(10, () => push(app, { tenant: 'loud' }))).toEqual([202, 202, ...Array(8).fill(429)])
    expect(await statuses(2, () => push(app, { tenant: 'quiet' }))).toEqual([202, 202])
    const refused = await push(app, { tenant: 'late' })
    expect([refused.status, refused.headers.get('ratelimit-policy')]).toEqual([429, '"source";q=4;w=3600'])
  })
})

describe('Slack', () => {
  it('is taken above its quota all the same, and counted', async () => {
    const app = await start({ quota: { perHour: 1 }, tenantQuota: { perHour: 1 } })
    const ids = [freshId(), freshId(), freshId()]
    for (const id of ids) {
      const body = mention(id)
      const response = await sendTo(app.url, 'chat', body, signedHeaders(body))
      expect([response.status, await response.text()]).toEqual([200, ''])
      expect(await jobsOfEvent(app, 'all-events', id)).toHaveLength(1)
    }
    expect(await overQuota(app, 'chat')).toBe(2)
  })
})

describe('without the cache store', () => {
  it('each process counts for itself, and with it all together again', async () => {
    const app = await start({ quota: { perHour: 2 } })
    await cache.kill()
    expect(await statuses(4, () => push(app))).toEqual([202, 202, 429, 429])
    await cache.restart()
    await until(async () => (await push(app)).status === 202, 'the store counts again')
  })

  it('nobody waits long for one that hangs', async () => {
    const app = await start({ quota: { perHour: 2 } }, {}, 50)
    cache.signal('SIGSTOP')
    const began = performance.now()
    const answers = await Promise.all(Array.from({ length: 5 }, () => push(app)))
    expect(performance.now() - began).toBeLessThan(800)
    expect(answers.map(({ status }) => status).sort()).toEqual([202, 202, 429, 429, 429])
  })
})
