import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue, defineWorker } from '../../src/index.ts'
import { apiOf } from '../harness/api.ts'
import { operatorKey, startTestApp, type TestApp, tenantKey, viewerKey } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* What is asked of a queue, and changed about it, while it runs. */

const payload = z.object({ key: z.string() })
const shared = defineQueue({ name: 'shared', payload, tenant: { by: (p) => p.key, concurrency: 1 } })
const ordered = defineQueue({ name: 'ordered', payload, order: { by: (p) => p.key } })
const plain = defineQueue({ name: 'plain', payload })
const limited = defineQueue({ name: 'limited', payload, limit: { max: 1, per: '1h', by: (p) => p.key } })

let letGo = () => {}
const held = new Promise<void>((resolve) => {
  letGo = resolve
})
const workers = [shared, ordered, limited].map((queue) => defineWorker(queue, () => held))

const lines: Record<string, unknown>[] = []
let redis: TestRedis
let app: TestApp
beforeAll(async () => {
  redis = await startRedis()
  app = await startTestApp(redis.url, {
    definitions: { queues: [shared, ordered, limited, plain, quarantine], workers, ignored: [] },
    log: pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) }),
  })
})
afterAll(async () => {
  letGo()
  await app?.close()
  await redis?.stop()
})

const { ask, read } = apiOf(() => app)
const change = (method: string, path: string, body?: unknown, key = operatorKey) =>
  ask(path, { method, key, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
const add = async (queue: typeof shared, key: string) => (await app.enqueue(queue, { key })).id
const code = async (queue: string, id: string) =>
  (await read<{ code: string }>(`/queues/${queue}/jobs/${id}/explain`, { key: viewerKey })).code

describe('explain', () => {
  it('says what a job waits for, in words and in figures', async () => {
    await add(ordered, 'k')
    const id = await add(ordered, 'k')
    await until(async () => (await code('ordered', id)) === 'key-busy', 'it waits for its key')
    const found = await read(`/queues/ordered/jobs/${id}/explain`)
    expect(found).toMatchObject({ id, queue: 'ordered', state: 'prioritized', code: 'key-busy', until: null })
    expect(found.words).toContain('Jobs of the key "k" run one after the other')
    expect(found.todo).toContain('free the key')
  })

  it.each([
    ['ordered', 'nope', 404, 'unknown-job'],
    ['ordered', 'gate', 404, 'unknown-job'],
    ['nope', 'x', 404, 'unknown-queue'],
  ])('of %s %s answers %s', async (queue, id, status, problem) => {
    const response = await ask(`/queues/${queue}/jobs/${id}/explain`)
    expect(response.status).toBe(status)
    expect(await response.json()).toMatchObject({ code: problem })
  })

  it('tells nobody of jobs of other tenants', async () => {
    const id = await add(ordered, 'other')
    expect((await ask(`/queues/ordered/jobs/${id}/explain`, { key: tenantKey })).status).toBe(404)
  })
})

describe('a key', () => {
  it('that is busy is listed, and can be freed', async () => {
    const first = await add(ordered, 'stuck')
    await until(async () => (await code('ordered', first)) === 'running', 'it is in hand')
    const second = await add(ordered, 'stuck')
    const { keys } = await read<{ keys: { key: string }[] }>('/queues/ordered/keys', { key: viewerKey })
    expect(keys.find(({ key }) => key === 'stuck')).toEqual({
      tenant: '',
      key: 'stuck',
      job: first,
      state: 'active',
      waiting: 1,
    })
    expect((await change('POST', '/queues/ordered/keys/free', { key: 'stuck' }, viewerKey)).status).toBe(403)
    const freed = await change('POST', '/queues/ordered/keys/free', { key: 'stuck' })
    expect(await freed.json()).toEqual({ tenant: '', key: 'stuck', job: first })
    await until(async () => (await code('ordered', second)) === 'running', 'the next one runs')
    expect((await change('POST', '/queues/ordered/keys/free', { key: 'nobody' })).status).toBe(404)
    expect((await change('POST', '/queues/ordered/keys/free', { clef: 'x' })).status).toBe(400)
  })
})

describe('a limit', () => {
  it('is shown, changed, and taken back', async () => {
    const jobs = [await add(limited, 'a'), await add(limited, 'a')]
    await until(async () => (await code('limited', jobs[1] ?? '')) === 'key-limited', 'it waits for the limit')
    expect(await read('/queues/limited')).toMatchObject({
      limits: { rate: { max: 1, perMs: 3_600_000 }, isByKey: true, isSet: false },
    })
    expect((await change('PUT', '/queues/limited/limit', { max: 2, per: '1h' })).status).toBe(200)
    await until(async () => (await code('limited', jobs[1] ?? '')) === 'running', 'the new limit holds')
    expect(await read('/queues/limited')).toMatchObject({ limits: { rate: { max: 2 }, isSet: true } })
    expect((await change('DELETE', '/queues/limited/limit')).status).toBe(204)
    expect(await read('/queues/limited')).toMatchObject({ limits: { rate: { max: 1 }, isSet: false } })
  })

  it('can be given to a queue that has none', async () => {
    await change('PUT', '/queues/plain/limit', { max: 7, per: '2s' })
    expect(await read('/queues/plain')).toMatchObject({ limits: { rate: { max: 7, perMs: 2_000 }, isByKey: false } })
    await change('DELETE', '/queues/plain/limit')
    expect(await read('/queues/plain')).toMatchObject({ limits: { rate: null } })
  })

  it.each([{ max: 0, per: '1s' }, { max: 1 }, { max: 1, per: 1_000 }, { max: 1, per: '1s', by: 'x' }, [], 'x'])(
    'of %j is refused',
    async (body) => {
      expect((await change('PUT', '/queues/plain/limit', body)).status).toBe(400)
    },
  )
})

describe('a tenant', () => {
  it('gets terms of its own at once, and loses them', async () => {
    const jobs = [await add(shared, 't'), await add(shared, 't')]
    await until(async () => (await code('shared', jobs[1] ?? '')) === 'tenant-cap', 'it has enough in hand')
    expect((await change('PUT', '/queues/shared/tenants/t', { concurrency: 2 })).status).toBe(200)
    await until(async () => (await code('shared', jobs[1] ?? '')) === 'running', 'it may have more')
    expect((await change('DELETE', '/queues/shared/tenants/t')).status).toBe(204)
    const third = await add(shared, 't')
    await until(async () => (await code('shared', third)) === 'tenant-cap', 'it has enough again')
  })

  it('of a queue without turns is refused', async () => {
    expect((await change('PUT', '/queues/plain/tenants/t', { weight: 2 })).status).toBe(400)
  })

  it('may not look at what is about all tenants', async () => {
    for (const [method, path] of [
      ['GET', '/queues/ordered/keys'],
      ['PUT', '/queues/plain/limit'],
      ['PUT', '/queues/shared/tenants/t'],
    ] as const)
      expect((await change(method, path, method === 'GET' ? undefined : {}, tenantKey)).status).toBe(404)
  })
})

it('whoever changes something is in the log', async () => {
  lines.length = 0
  await change('PUT', '/queues/plain/limit', { max: 7, per: '1m' })
  await change('DELETE', '/queues/plain/limit')
  await change('PUT', '/queues/shared/tenants/u', { concurrency: 3 })
  const own = { weight: 1, concurrency: 3 }
  expect(lines.filter(({ msg }) => msg === 'operator action')).toMatchObject([
    { action: 'limit', queue: 'plain', max: 7, perMs: 60_000, by: 'olga' },
    { action: 'limit', queue: 'plain', by: 'olga' },
    { action: 'tenant', queue: 'shared', tenant: 'u', ...own, by: 'olga' },
  ])
})
