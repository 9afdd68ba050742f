import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../../queues/quarantine.ts'
import { defineQueue, defineWorker, type QueueOptions } from '../../../src/index.ts'
import { startTestApp, type TestApp } from '../../harness/app.ts'
import { startRedis, type TestRedis } from '../../harness/redis.ts'
import { freshId } from '../../harness/slack.ts'
import { until } from '../../harness/until.ts'

/* Turns between tenants, and their bounds, with jobs that are really worked. */

const payload = z.object({ tenant: z.string(), n: z.number() })
type Payload = typeof payload

let redis: TestRedis
const apps: TestApp[] = []
beforeAll(async () => {
  redis = await startRedis()
})
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close()
})
afterAll(() => redis.stop())

let serial = 0
/** A queue with its jobs stored before the worker starts, and what the worker has done, in order. */
async function worked(
  tenant: QueueOptions<Payload>['tenant'],
  jobs: readonly { tenant: string; n: number }[],
  {
    concurrency = 1,
    handle = async () => {},
  }: { concurrency?: number; handle?: (tenant: string) => Promise<void> } = {},
) {
  serial += 1
  const prefix = freshId('p')
  const queue = defineQueue({ name: `turns-${serial}`, payload, tenant: { by: (p) => p.tenant, ...tenant } })
  const done: { tenant: string; n: number }[] = []
  const worker = defineWorker(
    queue,
    async ({ payload: job }) => {
      await handle(job.tenant)
      done.push(job)
    },
    { concurrency },
  )
  const start = async (roles: string) => {
    const app = await startTestApp(redis.url, {
      definitions: { queues: [queue, quarantine], workers: [worker], ignored: [] },
      env: { ROLES: roles, KEY_PREFIX: prefix },
    })
    apps.push(app)
    return app
  }
  const producer = await start('scheduler')
  await Promise.all(jobs.map((job) => producer.enqueue(queue, job)))
  await start('worker')
  await until(() => done.length === jobs.length, 'all are done')
  return done
}

const jobsOf = (tenant: string, count: number) => Array.from({ length: count }, (_, n) => ({ tenant, n }))

it('gives turns by weight, and keeps the order within a tenant', async () => {
  const weights: Record<string, number> = { a: 3, b: 2, c: 1 }
  const done = await worked({ weight: (tenant) => weights[tenant] ?? 1 }, [
    ...jobsOf('a', 600),
    ...jobsOf('b', 600),
    ...jobsOf('c', 600),
  ])
  for (let from = 0; from + 600 <= 1_200; from += 50) {
    const window = done.slice(from, from + 600)
    for (const [tenant, weight] of Object.entries(weights)) {
      if (from + 600 > 1_100) continue
      const share = window.filter((job) => job.tenant === tenant).length
      expect(Math.abs(share - weight * 100), `${tenant} in ${from}…`).toBeLessThanOrEqual(10)
    }
  }
  for (const tenant of 'abc')
    expect(done.filter((job) => job.tenant === tenant).map((job) => job.n)).toEqual(
      jobsOf(tenant, 600).map(({ n }) => n),
    )
})
