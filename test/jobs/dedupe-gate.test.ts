import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue, defineWorker } from '../../src/index.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { jobsOf } from '../harness/jobs.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* Jobs that make room for each other, for later, and by the clock, in queues that take turns and keep an order. */

const payload = z.object({ shop: z.string(), n: z.number() })
const tenant = { by: ({ shop }: { shop: string }) => shop, concurrency: () => 1 }
const order = { by: ({ shop }: { shop: string }) => shop }
const by = ({ shop, n }: { shop: string; n: number }) => `${shop} ${n % 10}`
const sync = defineQueue({
  name: 'sync',
  payload,
  tenant,
  order,
  dedupe: { by, mode: 'supersede' },
  schedule: { every: '1s', payload: { shop: 'clock', n: 0 } },
})
const ran: string[] = []
const worker = defineWorker(sync, ({ payload: { shop, n }, tenant }) => void ran.push(`${tenant} ${shop} ${n}`))

let redis: TestRedis
let app: TestApp
beforeAll(async () => {
  redis = await startRedis()
  app = await startTestApp(redis.url, { definitions: { queues: [sync, quarantine], workers: [worker], ignored: [] } })
})
afterAll(async () => {
  await app.close()
  await redis.stop()
})

it('runs the last of each key, those for later, and those of the clock, in order', async () => {
  await app.bull.get('sync')?.pause()
  for (const n of [1, 2, 11, 12, 21, 3]) await app.enqueue(sync, { shop: 'a', n })
  await app.enqueue(sync, { shop: 'a', n: 4 }, { delay: '200ms' })
  const waiting = (await jobsOf(app, 'sync', ['prioritized'])).filter(
    ({ data }) => (data as { shop: string }).shop === 'a',
  )
  expect(waiting).toHaveLength(3)
  await app.bull.get('sync')?.resume()
  const of = (shop: string) => ran.filter((one) => one.startsWith(shop))
  await until(() => of('a').length === 4 && of('clock').length >= 2, 'all have run')
  expect(of('a')).toEqual(['a a 12', 'a a 21', 'a a 3', 'a a 4'])
  expect(of('clock')[0]).toBe('clock clock 0')
})
