import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import type { Session } from '../../src/define/services.ts'
import { defineQueue, defineWorker } from '../../src/index.ts'
import { apiOf } from '../harness/api.ts'
import { adminKey, startTestApp, type TestApp, viewerKey } from '../harness/app.ts'
import { jobIn } from '../harness/jobs.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { githubHeaders, githubSecret, sendTo } from '../harness/signed.ts'
import { freshId, mention, post } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/* Organizations: whose an event is, what they may send, what their handlers find. */

const events = defineQueue({ name: 'all-events', payload: z.looseObject({}), on: ['github:*', 'slack:*'] })
/** What the handler saw, by the event's id. */
const seen = new Map<string, { tenant: string | undefined; token: string | undefined; session: Session; why: string }>()
const worker = defineWorker(events, async (job, { secrets, sessions }) => {
  const [token, missing] = await Promise.allSettled([secrets.get('TOKEN'), secrets.get('MISSING')])
  const session = await sessions.update('thread-1', () => ({ messages: [{ role: 'user', text: job.id }] }))
  seen.set(String(job.payload.event_id), {
    tenant: job.tenant,
    token: token.status === 'fulfilled' ? token.value : undefined,
    session,
    why: missing.status === 'rejected' ? String(missing.reason) : String(missing.value),
  })
})

let folder: string
let path: string
let redis: TestRedis
let app: TestApp
const lines: string[] = []
const { ask, read } = apiOf(() => app)
const acmeKey = 'the-key-of-acme-and-nobody-else'

/** As an orchestrator does it: the file is replaced by another. */
function put(organizations: unknown): void {
  writeFileSync(`${path}.new`, typeof organizations === 'string' ? organizations : JSON.stringify(organizations))
  renameSync(`${path}.new`, path)
}

const acme = (more: object = {}) => ({
  id: 'acme',
  name: 'Acme',
  slackTeams: ['T061EG9R6'],
  secrets: { TOKEN: 'env:ACME_TOKEN', MISSING: 'env:NOT_SET' },
  ...more,
})
const beta = () => ({ id: 'beta', slackTeams: ['T0BETA'], secrets: { TOKEN: `file:${join(folder, 'token')}` } })

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-organizations-'))
  path = join(folder, 'organizations.json')
  writeFileSync(join(folder, 'token'), 'SECRET-beta\n')
  put([acme(), beta()])
  redis = await startRedis()
  app = await startTestApp(redis.url, {
    env: {
      ORGANIZATIONS_FILE: path,
      ACME_TOKEN: 'SECRET-acme',
      SOURCES: JSON.stringify({
        github: { type: 'github', secrets: [githubSecret], tenant: 'acme' },
      }),
      API_KEYS: JSON.stringify([
        { key: adminKey, name: 'ada', role: 'admin' },
        { key: viewerKey, name: 'vic', role: 'viewer' },
        { key: acmeKey, name: 'ann', role: 'viewer', tenant: 'acme' },
      ]),
    },
    definitions: { queues: [events, quarantine], workers: [worker], ignored: [] },
    log: pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) }),
  })
}, 90_000)
afterAll(async () => {
  await app?.close()
  await redis?.stop()
  rmSync(folder, { recursive: true, force: true })
})
beforeEach(() => seen.clear())

/** What the handler of an event of this team saw. */
async function handled(team: string) {
  const id = freshId()
  expect((await post(app.url, mention(id, { team_id: team }))).status).toBe(200)
  await jobIn(app, 'all-events', id, 'completed')
  return until(() => seen.get(id), 'the handler ran')
}

it('gives the events of its Slack teams to an organization, with its session and secrets', {
  timeout: 90_000,
}, async () => {
  const [ofAcme, ofBeta, ofNobody] = [await handled('T061EG9R6'), await handled('T0BETA'), await handled('T0OTHER')]
  expect([ofAcme, ofBeta, ofNobody].map(({ tenant, token }) => [tenant, token])).toEqual([
    ['acme', 'SECRET-acme'],
    ['beta', 'SECRET-beta'],
    ['T0OTHER', undefined],
  ])
  // The same name, and a conversation for each.
  for (const { session, tenant } of [ofAcme, ofBeta, ofNobody])
    expect(session).toMatchObject({ id: 'thread-1', tenant, version: 1, messages: [expect.anything()] })
  expect((await handled('T061EG9R6')).session.messages).toHaveLength(2)
  expect(ofAcme.why).toContain('secret MISSING is said to be in env:NOT_SET, but it is not set, or empty')
  expect(ofNobody.why).toBe('undefined')
  // A secret that is replaced is the new one at once.
  writeFileSync(join(folder, 'token'), 'SECRET-beta-2')
  expect((await handled('T0BETA')).token).toBe('SECRET-beta-2')
  expect(lines.join('')).not.toContain('SECRET')
  const { checks } = (await (await fetch(`${app.url}/readyz`)).json()) as { checks: Record<string, unknown> }
  expect(checks.database).toEqual({ state: 'ok', detail: 'the embedded database' })
})

it('counts the events and jobs of organizations, and names whose they are in each line about an attempt', async () => {
  const counts = async () => {
    const text = await (await fetch(`${app.url}/metrics`)).text()
    const of = (name: string) => Number(new RegExp(`^millrace_tenant_${name}"} (\\d+)$`, 'm').exec(text)?.[1] ?? 0)
    return {
      events: of('events_total{tenant="acme",source="slack",outcome="stored'),
      jobs: of('jobs_finished_total{tenant="acme",queue="all-events",outcome="done'),
      hasOther: text.includes('T0OTHER'),
    }
  }
  const before = await counts()
  await Promise.all([handled('T061EG9R6'), handled('T0OTHER')])
  const ended = () => lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'attempt ended')
  expect(new Set(ended().map(({ tenant }) => tenant))).toEqual(new Set(['acme', 'beta', 'T0OTHER']))
  const { events, jobs } = before
  await until(async () => (await counts()).jobs === jobs + 1, 'the attempt is counted')
  // Anybody can make up ids of teams: those that are in no list make no series.
  expect(await counts()).toEqual({ events: events + 1, jobs: jobs + 1, hasOther: false })
})

it('shows all to admins, and a tenant its own, without what its secrets are', async () => {
  const { organizations } = await read<{ organizations: unknown[] }>('/organizations')
  const own = { id: 'acme', name: 'Acme', slackTeams: ['T061EG9R6'], quota: null, secrets: ['MISSING', 'TOKEN'] }
  expect(organizations).toEqual([
    own,
    { id: 'beta', name: 'beta', slackTeams: ['T0BETA'], quota: null, secrets: ['TOKEN'] },
  ])
  expect(await read('/organizations', { key: acmeKey })).toEqual({ organizations: [own] })
  expect((await ask('/organizations', { key: viewerKey })).status).toBe(403)
  expect((await ask('/organizations', { method: 'POST' })).status).toBe(405)
})

it('has the file as it is now, and goes on with what was before when it is wrong', { timeout: 60_000 }, async () => {
  put([acme({ slackTeams: ['T061EG9R6', 'T0LATE'], quota: { perHour: 2 } })])
  await until(async () => (await handled('T0LATE')).tenant === 'acme', 'the new team is known')
  expect((await handled('T0BETA')).tenant).toBe('T0BETA')
  // Acme's quota is for all of its sources together; Slack is never refused, but it has used it up.
  const body = JSON.stringify({})
  const push = () => sendTo(app.url, 'github', body, githubHeaders(body, { secret: githubSecret, guid: freshId('g') }))
  await handled('T061EG9R6')
  const refused = await until(async () => {
    const response = await push()
    return response.status === 429 && response
  }, 'it is over its quota')
  expect((refused as Response).headers.get('ratelimit-policy')).toBe('"organization";q=2;w=3600')

  put([acme({ secrets: { TOKEN: 'SECRET-literal' } })])
  const trouble = await until(async () => {
    const { checks } = (await (await fetch(`${app.url}/readyz`)).json()) as {
      checks: Record<string, { detail: string }>
    }
    return checks.organizations
  }, 'it is told of')
  expect(trouble).toMatchObject({ state: 'warn', detail: expect.stringMatching(/TOKEN: must be env:NAME or file/) })
  expect((await handled('T0LATE')).tenant).toBe('acme')
  expect(lines.join('')).not.toContain('SECRET-literal')
})
