import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue, defineWorker } from '../../src/index.ts'
import { apiOf } from '../harness/api.ts'
import { operatorKey, startTestApp, type TestApp, tenantKey } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* A queue's own deduplication keys are made of payloads, which anybody may choose: they must not reach across tenants. */

const payload = z.object({ key: z.string(), secret: z.string().optional() })
const by = ({ key }: { key: string }) => key
const modes = ['once', 'debounce', 'singleton', 'keep-last', 'supersede'] as const
const queues = modes.map((mode) => {
  const name = `q-${mode}`
  if (mode === 'once' || mode === 'debounce') return defineQueue({ name, payload, dedupe: { by, mode, within: '1h' } })
  return defineQueue({ name, payload, dedupe: { by, mode } })
})
/** Whose file has several tenants share turns and keys. */
const shared = defineQueue({
  name: 'shared',
  payload,
  retry: { attempts: 2, base: '10m', max: '10m' },
  tenant: { by: () => 'all' },
  order: { by },
})
const [once] = queues
let redis: TestRedis
let app: TestApp
beforeAll(async () => {
  redis = await startRedis()
  const worker = defineWorker(once as (typeof queues)[number], ({ payload: { secret } }) => ({ secret }))
  const failing = defineWorker(shared, () => {
    throw new Error('not now')
  })
  app = await startTestApp(redis.url, {
    definitions: { queues: [...queues, shared, quarantine], workers: [worker, failing], ignored: [] },
  })
})
afterAll(async () => {
  await app.close()
  await redis.stop()
})
const { ask, read } = apiOf(() => app)
type Added = { id: string; duplicate: boolean; state?: string; result?: unknown }
const add = (queue: string, body: object, key?: string) =>
  read<Added>(`/queues/${queue}/jobs${queue === 'q-once' ? '?wait=10s' : ''}`, {
    method: 'POST',
    body: JSON.stringify(body),
    ...(key === undefined ? {} : { key }),
  })

it.each(modes)('%s: a tenant meets nobody else’s job', async (mode) => {
  const queue = `q-${mode}`
  const first = await add(queue, { key: 'same', secret: 'theirs' })
  const mine = await add(queue, { key: 'same', secret: 'mine' }, tenantKey)
  expect(mine.duplicate).toBe(false)
  expect(mine.id).not.toBe(first.id)
  if (mode === 'once') expect(mine.result).toEqual({ secret: 'mine' })
  expect(await read(`/queues/${queue}/jobs/${first.id}`, { key: operatorKey })).toMatchObject({ id: first.id })
})

it('still knows its own', async () => {
  const first = await add('q-once', { key: 'own' }, tenantKey)
  expect(await add('q-once', { key: 'own' }, tenantKey)).toMatchObject({ id: first.id, duplicate: true })
})

it('is not told whose job it waits for', async () => {
  const theirs = await add('shared', { key: 'k' })
  await until(async () => (await app.bull.get('shared')?.getDelayedCount()) === 1, 'theirs is put off')
  const mine = await add('shared', { key: 'k' }, tenantKey)
  const explain = (key: string) => read(`/queues/shared/jobs/${mine.id}/explain`, { key })
  expect(await explain(operatorKey)).toMatchObject({ code: 'key-busy', facts: { holder: theirs.id } })
  const told = await explain(tenantKey)
  expect(told).toMatchObject({ code: 'key-busy' })
  expect(JSON.stringify(told)).not.toContain(theirs.id)
})

it.each(['/queues/shared/jobs', '/queues/shared/dead/0123456789ab', '/inbox', '/cache'])(
  'who asks for another tenant at %s is told that there is none, and gets nothing of the own instead',
  async (path) => {
    const answer = await ask(`${path}?tenant=somebody-else`, { key: tenantKey })
    expect([answer.status, await answer.json()]).toMatchObject([404, { code: 'not-found' }])
    expect((await ask(`${path}?tenant=somebody-else`, { key: operatorKey })).status).toBe(200)
  },
)
