import { request } from 'node:http'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue, defineWorker, drop } from '../../src/index.ts'
import { adminKey, operatorKey, startTestApp, type TestApp, viewerKey } from '../harness/app.ts'
import { jobsOf } from '../harness/jobs.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { signIn } from '../harness/session.ts'
import { until } from '../harness/until.ts'

/* Who may change what, from where. Bull Board itself asks nobody anything. */

const parcels = defineQueue({ name: 'parcels', payload: z.object({ id: z.string() }) })
let isBroken = true
const worker = defineWorker(parcels, () => (isBroken ? drop('broken') : null))

let redis: TestRedis
let app: TestApp
let job: string
const cookies: Record<string, string> = {}

beforeAll(async () => {
  redis = await startRedis()
  app = await startTestApp(redis.url, {
    definitions: { queues: [parcels, quarantine], workers: [worker], ignored: [] },
  })
  for (const [role, key] of Object.entries({ viewer: viewerKey, operator: operatorKey, admin: adminKey }))
    cookies[role] = (await signIn(app.url, key)).cookie
})
afterAll(async () => {
  await app?.close()
  await redis?.stop()
})
beforeEach(async () => {
  isBroken = true
  job = (await app.enqueue(parcels, { id: '1' })).id
  await until(async () => (await jobsOf(app, 'parcels', ['failed'])).some(({ id }) => id === job), 'it is dead')
})
afterEach(() => app.bull.get('parcels')?.resume())

/** With exactly these headers: fetch adds some of those that are looked at here. */
function send(
  method: string,
  path: string,
  headers: Record<string, string>,
  body = '{}',
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const options = { method, headers: { 'content-type': 'application/json', ...headers } }
    const sent = request(`${app.url}${path}`, options, (response) => {
      let text = ''
      response.on('data', (chunk) => {
        text += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
    })
    sent.on('error', reject)
    sent.end(method === 'GET' ? undefined : body)
  })
}

const board = '/dashboard/queues/api/queues'
const as = (role: string) => ({ cookie: cookies[role] ?? '', origin: app.url })
const everything = async () => ({
  jobs: (await jobsOf(app, 'parcels')).map(({ id, data }) => ({ id, data })),
  dead: (await jobsOf(app, 'parcels', ['failed'])).length,
  paused: await app.bull.get('parcels')?.isPaused(),
})

const retry = () => ['PUT', `${board}/parcels/${job}/retry`] as const
const operating = () =>
  [retry(), ['PUT', `${board}/parcels/pause`], ['PUT', `${board}/parcels/resume`], ['PUT', `${board}/pause`]] as const
const deleting = () =>
  [
    ['PUT', `${board}/parcels/obliterate`],
    ['PUT', `${board}/parcels/empty`],
    ['PUT', `${board}/parcels/clean/failed`],
    ['PUT', `${board}/parcels/${job}/clean`],
  ] as const
const editing = () =>
  [
    ['POST', `${board}/parcels/add`],
    ['PATCH', `${board}/parcels/${job}/update-data`],
    ['PUT', `${board}/parcels/concurrency`],
    ['PUT', `${board}/parcels/rate-limit`],
  ] as const

describe('a viewer', () => {
  it('reads', async () => {
    for (const path of ['/dashboard', '/dashboard/queues', board, `${board}/parcels/${job}`])
      expect([path, (await send('GET', path, as('viewer'))).status]).toEqual([path, 200])
  })

  it('changes nothing', async () => {
    const before = await everything()
    for (const [method, path] of [...operating(), ...deleting(), ...editing()]) {
      const { status, body } = await send(method, path, as('viewer'))
      expect([path, status, JSON.parse(body).code]).toEqual([path, 403, 'forbidden'])
    }
    expect(await everything()).toEqual(before)
  })
})

describe('an operator', () => {
  it('retries a dead job, pauses and resumes', async () => {
    isBroken = false
    const { status } = await send(...retry(), as('operator'))
    expect(status).toBe(204)
    await until(async () => (await jobsOf(app, 'parcels', ['completed'])).some(({ id }) => id === job), 'it is done')
    for (const [path, paused] of [
      [`${board}/parcels/pause`, true],
      [`${board}/parcels/resume`, false],
    ] as const) {
      expect((await send('PUT', path, as('operator'))).status).toBeLessThan(300)
      expect(await app.bull.get('parcels')?.isPaused()).toBe(paused)
    }
  })

  it('deletes nothing, edits nothing, adds nothing', async () => {
    const before = await everything()
    for (const [method, path] of [...deleting(), ...editing()]) {
      const { status } = await send(method, path, as('operator'))
      expect([path, status]).toEqual([path, 403])
    }
    expect(await everything()).toEqual(before)
  })

  it.each(['delay', 'priority'])('changes no job: not its %s', async (what) => {
    const before = await everything()
    const { status } = await send(
      'PATCH',
      `${board}/parcels/${job}/${what}`,
      as('operator'),
      '{"delay":1,"priority":1}',
    )
    expect(status).toBe(403)
    expect(await everything()).toEqual(before)
  })

  // Express finds a route in whatever case, behind a slash too many, with or without one at the end.
  it.each([
    (path: string) => path.toUpperCase().replace('/DASHBOARD/QUEUES/API/QUEUES/PARCELS', `${board}/parcels`),
    (path: string) => `${path}/`,
    (path: string) => path.replace('/dashboard', '/Dashboard'),
    (path: string) => path.replace('/dashboard/queues', '/dashboard/QUEUES'),
    (path: string) => path.replace(/\/(\w+)$/, '//$1'),
    (path: string) => path.replace(/\w$/, (last) => `%${last.charCodeAt(0).toString(16)}`),
    (path: string) => `${path}?x=/retry`,
  ])('nor by another spelling of the path (%#)', async (spell) => {
    const before = await everything()
    for (const [method, path] of [...deleting(), ...editing()]) {
      const { status } = await send(method, spell(path), as('operator'), '{"name":"x","data":{"id":"x"}}')
      expect([spell(path), [403, 404].includes(status)]).toEqual([spell(path), true])
    }
    expect(await everything()).toEqual(before)
  })
})

describe('an admin', () => {
  it('deletes', async () => {
    expect((await send('PUT', `${board}/parcels/${job}/clean`, as('admin'))).status).toBeLessThan(300)
    expect((await jobsOf(app, 'parcels')).some(({ id }) => id === job)).toBe(false)
  })
})

describe('a change', () => {
  const refusedFrom: [string, Record<string, string>][] = [
    ['another origin', { origin: 'https://evil.example' }],
    ['an origin that only begins alike', { origin: 'http://localhost.evil.example' }],
    ['another port', { origin: 'http://localhost:1' }],
    ['no origin that can be told', { origin: 'null' }],
    ['an origin that is no URL', { origin: 'localhost' }],
    ['another site', { 'sec-fetch-site': 'cross-site' }],
    ['a neighbouring site', { 'sec-fetch-site': 'same-site' }],
    ['another site that claims our origin', { 'sec-fetch-site': 'cross-site', origin: 'OWN' }],
    ['nowhere', {}],
  ]
  it.each(refusedFrom)('from %s is refused', async (_name, headers) => {
    const before = await everything()
    const own = Object.fromEntries(Object.entries(headers).map(([name, v]) => [name, v === 'OWN' ? app.url : v]))
    for (const [method, path] of [
      retry(),
      ['POST', '/api/queues/parcels/jobs'],
      ['POST', `${board}/parcels/add`],
    ] as const) {
      const { status, body } = await send(method, path, { cookie: cookies.admin ?? '', ...own }, '{"id":"2"}')
      expect([path, status, JSON.parse(body).code]).toEqual([path, 403, 'cross-origin'])
    }
    for (const path of ['/dashboard/sign-in', '/dashboard/sign-out'])
      expect((await send('POST', path, { cookie: cookies.admin ?? '', ...own })).status).toBe(403)
    expect(await everything()).toEqual(before)
    expect((await send('GET', '/dashboard', { cookie: cookies.admin ?? '', ...own })).status).toBe(200)
  })

  it.each([
    ['our origin', () => ({ origin: app.url })],
    ['our site', () => ({ 'sec-fetch-site': 'same-origin' })],
  ])('from %s is made', async (_name, headers) => {
    isBroken = false
    const { status } = await send(...retry(), { cookie: cookies.operator ?? '', ...headers() })
    expect(status).toBe(204)
  })

  it('with a key needs no origin, and no session helps a wrong one', async () => {
    isBroken = false
    const bearer = (key: string) => ({ authorization: `Bearer ${key}` })
    expect((await send(...retry(), { ...as('admin'), ...bearer('nobody-knows-this-key') })).status).toBe(401)
    expect((await send(...retry(), bearer(viewerKey))).status).toBe(403)
    expect((await send(...retry(), bearer(operatorKey))).status).toBe(204)
    expect((await send('GET', '/dashboard', bearer(viewerKey))).status).toBe(200)
  })
})
