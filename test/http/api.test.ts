import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue } from '../../src/index.ts'
import { apiOf } from '../harness/api.ts'
import { adminKey, operatorKey, startTestApp, type TestApp, tenantKey, viewerKey } from '../harness/app.ts'
import { jobsOf } from '../harness/jobs.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'

/* Adding jobs through the API. Nobody works on them, so that they stay where they can be counted. */

const parcels = defineQueue({
  name: 'parcels',
  payload: z.object({
    id: z.string().min(1),
    to: z.object({ street: z.string() }).optional(),
    tags: z.array(z.string()).optional(),
  }),
})
const letters = defineQueue({ name: 'letters', payload: parcels.payload })

let redis: TestRedis
let app: TestApp
beforeAll(async () => {
  redis = await startRedis()
  app = await startTestApp(redis.url, {
    env: { ROLES: 'http', BODY_LIMIT: '64kb' },
    definitions: { queues: [parcels, letters, quarantine], workers: [], ignored: [] },
  })
})
afterAll(async () => {
  await app?.close()
  await redis?.stop()
})

const { ask, add, read } = apiOf(() => app)
type Added = { id: string; duplicate: boolean }
const added = async (response: Promise<Response>) => (await (await response).json()) as Added
const parcel = () => ({ id: freshId('parcel') })
const count = async (queue = 'parcels') => (await jobsOf(app, queue)).length

describe('a caller', () => {
  it.each([
    ['no key', {}],
    ['a wrong key', { authorization: 'Bearer nobody-knows-this-key' }],
    ['half a key', { authorization: `Bearer ${adminKey.slice(0, -1)}` }],
    ['no bearer', { authorization: adminKey }],
    ['Basic', { authorization: `Basic ${Buffer.from(`admin:${adminKey}`).toString('base64')}` }],
    ['nothing behind Bearer', { authorization: 'Bearer ' }],
    ['two keys', { authorization: `Bearer ${adminKey} ${adminKey}` }],
    ['the key as a cookie', { cookie: `millrace=${adminKey}` }],
  ])('with %s is nobody', async (_name, headers) => {
    for (const path of ['/api/queues', '/api/queues/parcels/jobs', '/api/nothing', `/api/queues?key=${adminKey}`]) {
      const response = await fetch(`${app.url}${path}`, { headers: headers as Record<string, string> })
      expect(response.status).toBe(401)
      expect(await response.json()).toMatchObject({ status: 401, code: 'unauthorized' })
    }
  })

  it('is told apart by the key alone, however "bearer" is spelled', async () => {
    for (const scheme of ['Bearer', 'bearer', 'BEARER '])
      expect((await ask('/queues', { headers: { authorization: `${scheme} ${viewerKey}` } })).status).toBe(200)
  })

  it.each([
    ['viewer', viewerKey, 200, 403],
    ['operator', operatorKey, 200, 403],
    ['admin', adminKey, 200, 201],
  ])('who is %s may do what the role says', async (role, key, reading, adding) => {
    expect((await ask('/queues', { key })).status).toBe(reading)
    const before = await count()
    const response = await add('parcels', parcel(), { key })
    expect(response.status).toBe(adding)
    if (adding === 403) {
      const detail = expect.stringContaining(role)
      expect(await response.json()).toMatchObject({ code: 'forbidden', detail })
      expect(await count()).toBe(before)
    }
  })

  it('with no key and no session changes nothing', async () => {
    const before = await count()
    const body = JSON.stringify(parcel())
    const response = await fetch(`${app.url}/api/queues/parcels/jobs`, { method: 'POST', body })
    expect([401, 403]).toContain(response.status)
    expect(await count()).toBe(before)
  })
})

describe('one job', () => {
  it('is stored when the answer says so, and can be read', async () => {
    const payload = { ...parcel(), to: { street: 'Mill Lane' } }
    const response = await add('parcels', payload)
    expect(response.status).toBe(201)
    const { id, duplicate } = (await response.json()) as Added
    expect(duplicate).toBe(false)
    expect(await read(`/queues/parcels/jobs/${id}`)).toMatchObject({
      id,
      queue: 'parcels',
      name: 'parcels',
      state: 'waiting',
      tenant: null,
      payload,
      attemptsMade: 0,
      attempts: 5,
      errors: [],
      logs: [],
    })
  })

  it.each(['application/json', 'text/plain', 'application/x-www-form-urlencoded'])(
    'may be sent as %s',
    async (type) => {
      expect((await add('parcels', parcel(), { headers: { 'content-type': type } })).status).toBe(201)
    },
  )

  it('that does not fit is refused with the path of each field', async () => {
    const before = await count()
    const response = await add('parcels', { id: '', to: { street: 7 }, tags: ['a', 1] })
    expect(response.status).toBe(422)
    const problem = (await response.json()) as { code: string; errors: { path: string; message: string }[] }
    expect(problem.code).toBe('invalid-payload')
    expect(problem.errors.map(({ path }) => path)).toEqual(['id', 'to.street', 'tags[1]'])
    expect(problem.errors.every(({ message }) => message.length > 0)).toBe(true)
    expect(await count()).toBe(before)
  })

  it.each(['null', '7', '"text"', '{}', ''])('cannot be %j', async (body) => {
    const response = await ask('/queues/parcels/jobs', { method: 'POST', body })
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([422, 'invalid-payload'])
  })

  it.each(['{', "{'id':1}", '{"id":"a"} x', '\ufffd'])('cannot be what is no JSON: %j', async (body) => {
    const response = await ask('/queues/parcels/jobs', { method: 'POST', body })
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([400, 'not-json'])
  })

  it('cannot be larger than BODY_LIMIT', async () => {
    const response = await add('parcels', { id: 'x'.repeat(65 * 1024) })
    expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([413, 'too-large'])
  })

  it.each(['nothing', '__proto__', 'constructor', 'PARCELS', '%F0%9F%93%A6'])('needs a queue: %s', async (queue) => {
    for (const response of [
      await add(queue, parcel()),
      await ask(`/queues/${queue}`),
      await ask(`/queues/${queue}/jobs`),
    ])
      expect([response.status, ((await response.json()) as { code: string }).code]).toEqual([404, 'unknown-queue'])
  })
})

describe('many jobs', () => {
  it('are stored together, in their order', async () => {
    const payloads = Array.from({ length: 300 }, parcel)
    const response = await add('parcels', payloads)
    expect(response.status).toBe(201)
    const list = (await response.json()) as Added[]
    expect(list).toHaveLength(300)
    expect(new Set(list.map(({ id }) => id)).size).toBe(300)
    const stored = new Map((await jobsOf(app, 'parcels')).map(({ id, data }) => [id, data]))
    expect(list.map(({ id }) => stored.get(id))).toEqual(payloads)
  })

  it('are refused together: all are checked first', async () => {
    const before = await count()
    const response = await add('parcels', [parcel(), { id: 7 }, parcel()])
    expect(response.status).toBe(422)
    expect(await response.json()).toMatchObject({
      detail: expect.stringContaining('job 1'),
      errors: [{ path: '[1].id' }],
    })
    expect(await count()).toBe(before)
  })

  it('are at most a thousand', async () => {
    const before = await count()
    expect((await add('parcels', Array(1_001).fill({ id: 'x' }))).status).toBe(413)
    expect(await count()).toBe(before)
    expect(await (await add('parcels', [])).json()).toEqual([])
  })
})

describe('an Idempotency-Key', () => {
  const withKey = (key: string, more: { key?: string } = {}) => ({ headers: { 'idempotency-key': key }, ...more })

  it('makes a repetition harmless, quoted or bare', async () => {
    const key = freshId('key')
    const same = parcel()
    const first = await added(add('parcels', same, withKey(`"${key}"`)))
    expect(first.duplicate).toBe(false)
    for (const again of [key, `"${key}"`])
      expect(await added(add('parcels', same, withKey(again)))).toEqual({ id: first.id, duplicate: true })
    expect((await added(add('parcels', parcel(), withKey(`${key}x`)))).duplicate).toBe(false)
  })

  it('is refused for another payload, and stores nothing', async () => {
    const key = freshId('key')
    const first = await added(add('parcels', parcel(), withKey(key)))
    const other = await add('parcels', { ...parcel(), note: freshId() }, withKey(key))
    expect(other.status).toBe(422)
    expect(await other.json()).toMatchObject({
      code: 'idempotency-key-reused',
      detail: expect.stringContaining(first.id),
    })
  })

  it('counts for its queue and its tenant alone', async () => {
    const key = freshId('key')
    for (const [queue, who] of [
      ['parcels', adminKey],
      ['letters', adminKey],
      ['parcels', tenantKey],
    ] as const)
      expect((await added(add(queue, parcel(), withKey(key, { key: who })))).duplicate).toBe(false)
  })

  it('holds for each job of many', async () => {
    const key = freshId('key')
    const [payloads, before] = [[parcel(), parcel()], await count()]
    const first = (await (await add('parcels', payloads, withKey(key))).json()) as Added[]
    const again = (await (await add('parcels', payloads, withKey(key))).json()) as Added[]
    expect(first.map(({ duplicate }) => duplicate)).toEqual([false, false])
    expect(again).toEqual(first.map(({ id }) => ({ id, duplicate: true })))
    expect(await count()).toBe(before + 2)
  })

  it('is one job for many at once', async () => {
    const key = freshId('key')
    const same = parcel()
    const all = await Promise.all(Array.from({ length: 50 }, () => added(add('parcels', same, withKey(key)))))
    expect(all.filter(({ duplicate }) => !duplicate)).toHaveLength(1)
    expect(new Set(all.map(({ id }) => id)).size).toBe(1)
  })

  it.each(['""', 'x'.repeat(256)])('has 1 to 255 characters: not %s', async (key) => {
    const response = await add('parcels', parcel(), withKey(key))
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({
      code: 'bad-request',
      detail: expect.stringContaining('Idempotency-Key'),
    })
  })
})
