import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue } from '../../src/index.ts'
import type { JobSummary } from '../../src/jobs/inspect.ts'
import { apiOf } from '../harness/api.ts'
import { startTestApp, type TestApp, tenantKey, viewerKey } from '../harness/app.ts'
import { keysOf, startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId, mention, post } from '../harness/slack.ts'

const notes = defineQueue({ name: 'notes', payload: z.looseObject({}), on: ['slack:*'] })

let redis: TestRedis
let app: TestApp
beforeAll(async () => {
  redis = await startRedis()
  app = await startTestApp(redis.url, {
    env: { ROLES: 'http' },
    definitions: { queues: [notes, quarantine], workers: [], ignored: [] },
  })
})
afterAll(async () => {
  await app?.close()
  await redis?.stop()
})

const { ask, add, read } = apiOf(() => app)
type List = { jobs: JobSummary[]; next: string | null }
const list = (query: string, key = viewerKey) => read<List>(`/queues/notes/jobs${query}`, { key })
const newNote = async (payload: object, key?: string) =>
  ((await (await add('notes', payload, key === undefined ? {} : { key })).json()) as { id: string }).id

describe('the queues', () => {
  it('are listed with their counts', async () => {
    await newNote({ text: 'one' })
    const { queues } = await read<{ queues: { name: string }[] }>('/queues', { key: viewerKey })
    expect(queues.map(({ name }) => name).sort()).toEqual(['notes', 'quarantine'])
    const one = await read('/queues/notes', { key: viewerKey })
    expect(one).toMatchObject({
      name: 'notes',
      paused: false,
      counts: { active: 0, completed: 0, failed: 0, delayed: 0 },
      throughputPerMinute: { completed: 0, dead: 0 },
    })
    expect((one.counts as { waiting: number }).waiting).toBeGreaterThan(0)
    expect(one.oldestWaitingSeconds).toBeGreaterThan(0)
  })
})

describe('the jobs of a queue', () => {
  it('are listed page by page, newest first, each once', async () => {
    const mark = freshId('MARK')
    const ids = []
    for (let i = 0; i < 5; i += 1) ids.push(await newNote({ mark, i }))
    const seen: string[] = []
    let query: string | undefined = `?text=${mark}&limit=2`
    while (query) {
      const { jobs, next }: List = await list(query)
      expect(jobs.length).toBeLessThanOrEqual(2)
      seen.push(...jobs.map(({ id }) => id))
      query = next === null ? undefined : `?text=${mark}&limit=2&cursor=${next}`
    }
    expect(seen).toEqual(ids.reverse())
  })

  it('are found by state, name, tenant and text', async () => {
    const [event, mark] = [freshId(), freshId('MARK')]
    const type = `type_${mark.toLowerCase()}`
    await post(app.url, mention(event, { team_id: mark, event: { type, text: `find ${mark} me` } }))
    for (const query of [`?name=${type}`, `?tenant=${mark}`, `?text=find%20${mark}`, `?state=waiting&name=${type}`]) {
      const { jobs } = await list(query)
      expect(jobs.map((job) => [query, job.event])).toEqual([[query, event]])
      expect(jobs[0]).toMatchObject({ queue: 'notes', name: type, tenant: mark, state: 'waiting' })
    }
    for (const query of [`?name=${type}x`, `?tenant=${mark}x`, `?text=${mark}x`, `?state=failed&name=${type}`])
      expect((await list(query)).jobs).toEqual([])
  })

  it.each([
    ['?state=done', 'state'],
    ['?limit=0', 'limit'],
    ['?limit=101', 'limit'],
    ['?limit=many', 'limit'],
    ['?cursor=-1', 'cursor'],
    ['?cursor=1.5', 'cursor'],
    ['?state=waiting&state=failed', 'state'],
    ['?name=a&name=b', 'name'],
  ])('cannot be asked for with %s', async (query, field) => {
    const response = await ask(`/queues/notes/jobs${query}`)
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ code: 'bad-request', detail: expect.stringContaining(`${field}: `) })
  })

  it('are not what is beside them in the store', async () => {
    const id = await newNote({})
    await add('notes', {}, { headers: { 'idempotency-key': 'k' } })
    const beside = (await keysOf(redis.client, `${app.prefix}:notes:*`)).map((key) =>
      key.slice(`${app.prefix}:notes:`.length),
    )
    expect(beside).toEqual(expect.arrayContaining(['meta', 'wait', 'events', 'id', id]))
    const statuses = await Promise.all(
      [...beside, 'nothing', '__proto__', `${id}:logs`, `${id}:lock`, `../notes/jobs/${id}x`]
        .filter((key) => !/^j[0-9a-z]{8}\w{10}$/.test(key))
        .map(async (key) => [key, (await ask(`/queues/notes/jobs/${encodeURIComponent(key)}`)).status]),
    )
    expect(statuses.filter(([, status]) => status !== 404)).toEqual([])
  })
})

describe('a key of one tenant', () => {
  it("sees its own jobs, and of another's not even that they are there", async () => {
    const mark = freshId('MARK')
    const mine = await newNote({ mark }, tenantKey)
    const others = [await newNote({ mark })]
    const event = freshId()
    await post(app.url, mention(event, { mark, team_id: 'T-TWO' }))
    others.push((await list(`?text=${event}`)).jobs[0]?.id ?? '')

    expect((await list(`?text=${mark}`)).jobs).toHaveLength(3)
    for (const query of [`?text=${mark}`, `?text=${mark}&tenant=T-ONE`]) {
      const { jobs } = await list(query, tenantKey)
      expect(jobs.map(({ id, tenant }) => [id, tenant])).toEqual([[mine, 'T-ONE']])
    }
    for (const other of ['T-TWO', '*'])
      expect(await list(`?text=${mark}&tenant=${other}`, tenantKey)).toMatchObject({ code: 'not-found' })
    expect(await read(`/queues/notes/jobs/${mine}`, { key: tenantKey })).toMatchObject({ id: mine, tenant: 'T-ONE' })
    const problem = async (id: string) => {
      const response = await ask(`/queues/notes/jobs/${id}`, { key: tenantKey })
      const { instance: _own, ...rest } = (await response.json()) as Record<string, unknown>
      return JSON.stringify({ status: response.status, ...rest }).replaceAll(id, '<id>')
    }
    const missing = await problem('jnobody')
    expect(JSON.parse(missing)).toMatchObject({ status: 404, code: 'unknown-job' })
    for (const id of others) expect(await problem(id)).toBe(missing)
  })

  it('is told no counts, which are over all tenants', async () => {
    const one = await read('/queues/notes', { key: tenantKey })
    expect(one).toEqual({ name: 'notes', paused: false })
    const { queues } = await read<{ queues: object[] }>('/queues', { key: tenantKey })
    for (const queue of queues) expect(Object.keys(queue).sort()).toEqual(['name', 'paused'])
  })

  it('cannot add for another tenant', async () => {
    const id = await newNote({ tenant: 'T-TWO', team_id: 'T-TWO' }, tenantKey)
    expect(await read(`/queues/notes/jobs/${id}`)).toMatchObject({ tenant: 'T-ONE' })
  })
})

describe('every answer', () => {
  const policy =
    "default-src 'none';script-src 'self';style-src 'self' 'unsafe-inline';img-src 'self' data:;font-src 'self';" +
    "connect-src 'self';base-uri 'self';form-action 'self';frame-ancestors 'none'"

  it.each([
    '/api/queues',
    '/api/nothing',
    '/nothing',
    '/dashboard/sign-in',
    '/dashboard',
    '/healthz',
    '/readyz',
    '/metrics',
    '/dashboard/queues',
    '/dashboard/queues/api/queues',
    '/dashboard/queues/static/nothing.js',
  ])('carries the headers that keep a browser safe: %s', async (path) => {
    const asked = { redirect: 'manual', headers: { authorization: `Bearer ${viewerKey}` } } as const
    const { headers } = await fetch(`${app.url}${path}`, asked)
    expect(headers.get('content-security-policy')).toBe(policy)
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('x-frame-options')).toBe('DENY')
    expect(headers.get('referrer-policy')).toBe('same-origin')
    expect(headers.has('x-powered-by')).toBe(false)
    // It would make browsers ask for https from then on, which is the proxy's to decide.
    expect(headers.has('strict-transport-security')).toBe(false)
  })

  it.each([
    ['/api/queues', 200],
    ['/api/queues/notes/jobs', 200],
    ['/api/queues/nothing', 404],
    ['/api/nothing', 404],
    ['/api/queues/notes/jobs?limit=0', 400],
    ['/api/queues/%zz', 400],
  ])('of the API is kept by no cache: %s', async (path, status) => {
    const response = await ask(path.replace('/api', ''))
    expect([response.status, response.headers.get('cache-control')]).toEqual([status, 'no-store'])
  })

  it('that refuses is a problem of RFC 9457, with an id of its own', async () => {
    const problems = await Promise.all(
      ['/queues/nothing', '/nothing', '/queues/notes/jobs/nothing', '/queues/notes/jobs?limit=0'].map(async (path) => {
        const response = await ask(path)
        expect(response.headers.get('content-type')).toMatch(/^application\/problem\+json/)
        const problem = (await response.json()) as Record<string, unknown>
        expect(problem).toMatchObject({
          type: expect.stringMatching(new RegExp(`#${problem.code}$`)),
          title: expect.stringMatching(/./),
          status: response.status,
          todo: expect.stringMatching(/./),
          instance: expect.stringMatching(/^urn:/),
        })
        // And nothing else: no stack, no cause.
        const known = ['code', 'detail', 'instance', 'status', 'title', 'todo', 'type']
        expect(Object.keys(problem).filter((field) => !known.includes(field))).toEqual([])
        return problem.instance
      }),
    )
    expect(new Set(problems).size).toBe(problems.length)
  })
})

describe('what may be said in the URL', () => {
  it('is a delay and an expiry of the jobs that are added', async () => {
    const { id } = (await (
      await ask('/queues/notes/jobs?delay=10m&expires=1h', { method: 'POST', body: JSON.stringify({ text: 'later' }) })
    ).json()) as { id: string }
    expect(await read(`/queues/notes/jobs/${id}`)).toMatchObject({ state: 'delayed' })
    const { code, until } = await read<{ code: string; until: string }>(`/queues/notes/jobs/${id}/explain`)
    expect(code).toBe('delayed-until')
    expect(Date.parse(until) - Date.now()).toBeGreaterThan(9 * 60_000)
  })

  it('is dead for those that BullMQ calls failed', async () => {
    expect(await read('/queues/notes/jobs?state=dead')).toEqual(await read('/queues/notes/jobs?state=failed'))
  })

  it.each([
    ['POST', 'delay=10', 'delay: write a duration'],
    ['POST', 'delay=-5s', 'delay: write a duration'],
    ['POST', 'expires=soon', 'expires: write a duration'],
    ['POST', 'dealy=5s', '"dealy"'],
    ['GET', 'stat=dead', '"stat"'],
  ] as const)('%s with %s is refused, and says why', async (method, query, said) => {
    const body = method === 'POST' ? { body: '{"text":"x"}' } : {}
    const answer = await ask(`/queues/notes/jobs?${query}`, { method, ...body })
    expect(answer.status).toBe(400)
    const { detail } = (await answer.json()) as { detail: string }
    expect(detail).toContain(said)
    expect(detail).not.toMatch(/^:/)
  })
})
