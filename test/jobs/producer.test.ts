import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue } from '../../src/index.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { keysOf, startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* Adds: one round trip for many, each promise for its own job, and never a promise that is not kept. */

const orders = defineQueue({
  name: 'orders',
  payload: z.object({ n: z.number(), text: z.string().optional() }),
  dedupe: { by: (order) => String(order.n), within: '1h' },
})
const plain = defineQueue({ name: 'plain', payload: z.object({ n: z.number() }) })

let redis: TestRedis
let app: TestApp
beforeAll(async () => {
  redis = await startRedis()
  const definitions = { queues: [orders, plain, quarantine], workers: [], ignored: [] }
  app = await startTestApp(redis.url, { definitions, env: { ROLES: 'http', ACK_DEADLINE: '500ms' } })
})
afterAll(async () => {
  await app.close()
  await redis.stop()
})

async function calls(): Promise<number> {
  const stats = await redis.client.info('commandstats')
  return ['evalsha', 'eval'].reduce(
    (sum, name) => sum + Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0),
    0,
  )
}

it('stores a hundred concurrent jobs in one or two calls, in the order in which they came', async () => {
  await app.enqueue(plain, { n: -1 }) // the script is known to the server from here on
  const before = await calls()
  const stored = await Promise.all(Array.from({ length: 100 }, (_, n) => app.enqueue(plain, { n })))
  expect((await calls()) - before).toBeLessThanOrEqual(2)
  const waiting = await redis.client.lrange(`${app.prefix}:plain:wait`, 0, -1)
  expect(waiting.reverse().slice(1)).toEqual(stored.map((job) => job.id))
})

it('keeps the order of what comes while calls are under way', async () => {
  const before = await redis.client.llen(`${app.prefix}:plain:wait`)
  const stored: Promise<{ id: string }>[] = []
  for (let n = 0; n < 1_000; n++) {
    stored.push(app.enqueue(plain, { n }))
    // Turns of different sizes, so that calls begin with others under way.
    if (n % 7 === 0 || n % 31 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  const ids = (await Promise.all(stored)).map(({ id }) => id)
  const waiting = await redis.client.lrange(`${app.prefix}:plain:wait`, 0, -1)
  expect(waiting.reverse().slice(before)).toEqual(ids)
})

it('recognises the same key among concurrent, later, and different payloads', async () => {
  const stored = await Promise.all([1, 2, 3].map((i) => app.enqueue(orders, { n: 7, text: `copy ${i}` })))
  expect(stored.map((job) => job.duplicate)).toEqual([false, true, true])
  expect(new Set(stored.map((job) => job.id)).size).toBe(1)
  expect(await app.enqueue(orders, { n: 7, text: 'later' })).toEqual({ id: stored[0]?.id, duplicate: true })
  expect(await app.enqueue(orders, { n: 8 })).toMatchObject({ duplicate: false })
  const [key] = (await keysOf(redis.client, `${app.prefix}:orders:de:*`)).slice(0, 1)
  expect(await redis.client.pttl(key ?? '')).toBeGreaterThan(3_500_000)
})

it('refuses a payload that does not fit, names the fields, and stores nothing', async () => {
  const before = await redis.client.llen(`${app.prefix}:plain:wait`)
  const wrong = { n: 'seven' } as unknown as { n: number }
  await expect(app.enqueue(plain, wrong)).rejects.toMatchObject({ code: 'invalid-payload', fields: [{ path: 'n' }] })
  expect(await redis.client.llen(`${app.prefix}:plain:wait`)).toBe(before)
})

it('answers by the deadline when the store hangs, and goes on when it is back', async () => {
  redis.signal('SIGSTOP')
  const began = Date.now()
  const hung = await Promise.allSettled(Array.from({ length: 20 }, (_, n) => app.enqueue(orders, { n: 100 + n })))
  const took = Date.now() - began
  redis.signal('SIGCONT')
  expect(hung.every((one) => one.status === 'rejected' && one.reason.code === 'store-unavailable')).toBe(true)
  expect(took).toBeLessThan(1_500)
  // The outcome was unknown; asked again with the same key there is one job of each, whichever it was.
  const again = await until(
    () => Promise.all(Array.from({ length: 20 }, (_, n) => app.enqueue(orders, { n: 100 + n }))).catch(() => undefined),
    'the store takes jobs again',
  )
  const waiting = await redis.client.lrange(`${app.prefix}:orders:wait`, 0, -1)
  for (const { id } of again) expect(waiting.filter((one) => one === id)).toHaveLength(1)
})

it('refuses at once when the store is gone, and recovers by itself', async () => {
  await redis.kill()
  await until(async () => {
    const began = Date.now()
    const error = await app.enqueue(plain, { n: 1 }).then(
      () => undefined,
      (thrown) => thrown,
    )
    return error?.code === 'store-unavailable' && Date.now() - began < 50
  }, 'it refuses at once')
  await redis.restart()
  await until(() => app.enqueue(plain, { n: 2 }).catch(() => undefined), 'it stores again')
})

it('splits what is too much for one call', async () => {
  const text = 'x'.repeat(300_000)
  const stored = await Promise.all(Array.from({ length: 12 }, (_, n) => app.enqueue(orders, { n: 1_000 + n, text })))
  expect(stored.every((job) => !job.duplicate)).toBe(true)
})
