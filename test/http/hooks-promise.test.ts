import { createHmac, randomBytes } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import type { AnyQueue } from '../../src/define/queue.ts'
import type { AnyWorker } from '../../src/define/worker.ts'
import { defineQueue, defineWorker, drop } from '../../src/index.ts'
import { apiOf } from '../harness/api.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { jobIn, jobsOf } from '../harness/jobs.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/* What could make a 2xx untrue, or true twice. */

const secret = freshId('secret')
const payload = z.looseObject({ order: z.string().optional() })
const hmac = { header: 'X-Signature', idHeader: 'X-Id' }
const source = { type: 'hmac', secrets: [secret], hmac }
const sources = { shop: source, 'shop-2': source, raw: { ...source, keepRaw: true } }

let redis: TestRedis
let app: TestApp
afterEach(async () => {
  await app?.close()
  await redis?.stop()
})

async function start(queues: AnyQueue[], workers: AnyWorker[] = [], env: Record<string, string> = {}): Promise<void> {
  redis = await startRedis()
  app = await startTestApp(redis.url, {
    definitions: { queues: [...queues, quarantine], workers, ignored: [] },
    env: { SOURCES: JSON.stringify(sources), SLACK_SIGNING_SECRET: '', ...env },
  })
}

async function send(from: keyof typeof sources, id: string, body: string): Promise<Response> {
  const signature = createHmac('sha256', secret).update(body).digest('hex')
  const headers = { 'x-signature': signature, 'x-id': id, 'content-type': 'application/json' }
  return fetch(`${app.url}/hooks/${from}`, { method: 'POST', body, headers })
}
const sent = async (...args: Parameters<typeof send>) => {
  const response = await send(...args)
  expect(response.status).toBe(202)
  const { duplicate } = (await response.json()) as { duplicate: boolean }
  return { duplicate, stored: response.headers.get('millrace-stored') }
}

describe('sameness', () => {
  it('of ids ends at the source, whatever names and ids are put together', async () => {
    await start([defineQueue({ name: 'orders', on: ['hmac:*'], payload })])
    expect(await sent('shop', '2-17', '{"order":"a"}')).toMatchObject({ duplicate: false })
    expect(await sent('shop-2', '17', '{"order":"b"}')).toMatchObject({ duplicate: false })
    expect(await jobsOf(app, 'orders')).toHaveLength(2)
  })

  it('by the queue counts for events and for jobs alike', async () => {
    const dedupe = { by: ({ order }: { order?: string | undefined }) => order ?? '', within: '1h' as const }
    const orders = defineQueue({ name: 'orders', on: ['hmac:*'], payload, dedupe })
    await start([orders])
    const api = apiOf(() => app)
    expect(await sent('shop', freshId(), '{"order":"o1"}')).toMatchObject({ duplicate: false })
    expect(await sent('shop', freshId(), '{"order":"o1","more":1}')).toMatchObject({ duplicate: true })
    expect(await (await api.add('orders', { order: 'o1' })).json()).toMatchObject({ duplicate: true })
    expect(await (await api.add('orders', { order: 'o2' })).json()).toMatchObject({ duplicate: false })
    expect(await sent('shop', freshId(), '{"order":"o2"}')).toMatchObject({ duplicate: true })
    expect(await jobsOf(app, 'orders')).toHaveLength(2)
  })
})

describe('raw bytes', () => {
  it('are kept with the event, which is stored like any other', async () => {
    await start([defineQueue({ name: 'orders', on: ['hmac:*'], payload })])
    const bodies = ['{ "order" : "1.50" }', `\ufeff{"order":"${'ü'.repeat(600)}"}`]
    for (const body of bodies) {
      const id = freshId()
      expect(await sent('raw', id, body)).toEqual({ duplicate: false, stored: 'queue' })
      const found = await apiOf(() => app).read<{ raw: string; payload: unknown }>(`/inbox/${id}`)
      expect(Buffer.from(found.raw, 'base64').toString('utf8')).toBe(body)
      expect(found.payload).toEqual(JSON.parse(body.replace('\ufeff', '')))
    }
  })
})

describe('the drain', () => {
  it('is not kept up by a queue over its budget, nor runs again what is dead', async () => {
    let runs = 0
    const idle = defineQueue({ name: 'idle', on: ['hmac:*'], payload, budget: '1mb' })
    const quick = defineQueue({ name: 'quick', on: ['hmac:*'], payload })
    const workers = [
      defineWorker(quick, () => {
        runs += 1
        return drop('never again')
      }),
    ]
    await start([idle, quick], workers)
    const big = JSON.stringify({ order: randomBytes(600_000).toString('base64') })
    await sent('shop', freshId(), big)
    await sent('shop', freshId(), big.replace('order', 'other'))
    const before = await until(async () => {
      const response = await send('shop', freshId(), '{"n":1}')
      return response.status === 503 ? await response.json() : undefined
    }, 'new events are shed')
    expect(before).toMatchObject({ code: 'shed' })
    await app.bull.get('idle')?.drain()
    await until(async () => (await send('shop', freshId(), '{"n":1}')).status === 202, 'there is room')
    await until(async () => (await jobsOf(app, 'quick', ['waiting', 'active'])).length === 0, 'all have run')

    await redis.kill()
    const ids = Array.from({ length: 5 }, () => freshId())
    for (const id of ids) expect(await sent('shop', id, `{"order":"${id}"}`)).toMatchObject({ stored: 'spool' })
    const ranBefore = runs
    await redis.restart()
    for (const id of ids) await jobIn(app, 'quick', id, 'failed')
    await until(
      async () => (await (await fetch(`${app.url}/metrics`)).text()).includes('millrace_spool_events 0'),
      'empty',
    )
    expect(runs - ranBefore).toBe(ids.length)
  })

  it('revives what is dead and was sent again while the store was away', async () => {
    let isWilling = false
    const orders = defineQueue({ name: 'orders', on: ['hmac:*'], payload })
    await start([orders], [defineWorker(orders, () => (isWilling ? 'done' : drop('not today')))])
    const id = freshId()
    await sent('shop', id, '{"order":"1"}')
    await jobIn(app, 'orders', id, 'failed')
    await redis.kill()
    isWilling = true
    expect(await sent('shop', id, '{"order":"1"}')).toMatchObject({ stored: 'spool' })
    await redis.restart()
    await jobIn(app, 'orders', id, 'completed')
  })
})
