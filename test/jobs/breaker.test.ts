import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { type OneQueue, startOneQueue } from '../harness/one-queue.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* A queue whose dependency is broken is left alone, and taken up again when one job has gone well. */

let redis: TestRedis
let one: OneQueue
beforeAll(async () => {
  redis = await startRedis()
})
afterEach(() => one.app.close())
afterAll(() => redis.stop())

const retry = { attempts: 50, base: '20ms', max: '20ms', jitter: 0 } as const
const gauge = async () => {
  const text = await (await fetch(`${one.app.url}/metrics`)).text()
  return Number(/^millrace_breaker_state\{name="work"\} (\d)$/m.exec(text)?.[1])
}
const published = async () => JSON.parse((await redis.client.get(`${one.app.prefix}:work:breaker`)) ?? 'null')
const readiness = async () => {
  const response = await fetch(`${one.app.url}/readyz`)
  return { status: response.status, text: await response.text() }
}

it('takes no jobs while open, tries one at a time, and goes on when one went well; nothing is lost', async () => {
  let isBroken = true
  const starts: { n: number; at: number }[] = []
  const done = new Set<number>()
  let together = 0
  let most = 0
  one = await startOneQueue(
    redis.url,
    async ({ payload }) => {
      starts.push({ n: payload.n, at: Date.now() })
      together += 1
      most = Math.max(most, together)
      await new Promise((resolve) => setImmediate(resolve))
      together -= 1
      if (isBroken) throw new Error('the other side is down')
      done.add(payload.n)
    },
    { queue: { retry, breaker: { share: 0.5, least: 10, within: '1m', open: '2s' } }, worker: { concurrency: 5 } },
  )
  expect(await gauge()).toBe(0)
  for (let n = 0; n < 40; n++) await one.enqueue(n)
  await until(async () => (await gauge()) === 2, 'it is open')
  expect(await published()).toMatchObject({ state: 'open', until: expect.any(Number), by: expect.any(String) })
  expect(await redis.client.pttl(`${one.app.prefix}:work:breaker`)).toBeGreaterThan(0)
  expect(await readiness()).toMatchObject({ status: 200, text: expect.stringContaining('breaker open') })

  // Those in hand when it opened end as well; then it is quiet but for one probe every two seconds.
  most = 0
  const { until: openUntil } = await published()
  const probes = () => starts.filter(({ at }) => at >= openUntil)
  await until(() => probes().length >= 2, 'a second one was tried')
  const [first, second] = probes()
  expect((second?.at ?? 0) - (first?.at ?? 0)).toBeGreaterThanOrEqual(1_950)
  // Nothing between the opening and the probe but what was in hand or on its way here.
  expect(starts.filter(({ at }) => at < openUntil).length).toBeLessThanOrEqual(10 + 2 * 5)

  isBroken = false
  await until(() => done.size === 40, 'all are done')
  await until(async () => (await gauge()) === 0, 'it is closed')
  expect(await published()).toBeNull()
  expect(most).toBeGreaterThan(1) // with all hands again
})

it('is not opened by jobs that are deferred, dropped or told to wait', async () => {
  const { defer, drop, RateLimited } = await import('../../src/index.ts')
  one = await startOneQueue(
    redis.url,
    ({ payload }) => {
      if (payload.n % 3 === 0) return defer('1h')
      if (payload.n % 3 === 1) return drop('gone')
      throw new RateLimited('1h')
    },
    { queue: { breaker: { share: 0.1, least: 3 } } },
  )
  const ids = await Promise.all(Array.from({ length: 30 }, async (_, n) => (await one.enqueue(n)).id))
  for (const [n, id] of ids.entries()) await one.jobIn(id, n % 3 === 1 ? 'failed' : 'delayed')
  expect(await gauge()).toBe(0)
})

it('puts back what was fetched while it opened, as the next one and with nothing spent', async () => {
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  let runs = 0
  one = await startOneQueue(
    redis.url,
    async () => {
      runs += 1
      await held
      throw new Error('down')
    },
    { queue: { retry: { attempts: 1 }, breaker: { share: 1, least: 1, open: '1m' } }, worker: { concurrency: 2 } },
  )
  await one.enqueue(1)
  await until(() => runs === 1, 'one is in hand')
  // The other slot waits in Redis for what comes, and BullMQ takes that also when it has been paused meanwhile.
  await until(
    async () => /flags=\w*b\w* .*cmd=bzpopmin/.test(String(await redis.client.client('LIST'))),
    'the other slot waits',
  )
  release()
  await until(async () => (await gauge()) === 2, 'it is open')
  const next = await one.enqueue(2)
  await until(() => one.finished('breaker-open'), 'it came all the same')
  const last = await one.enqueue(3)
  expect(await redis.client.lrange(one.bull.toKey('wait'), 0, -1)).toEqual([last.id, next.id])
  expect(await redis.client.hmget(one.bull.toKey(next.id), 'atm', 'ats')).toEqual([null, '0'])
  expect(await one.why(next.id)).toMatchObject({ code: 'breaker-open' })
  expect(runs).toBe(1)
})

it('gives its word back when its process stops', async () => {
  one = await startOneQueue(
    redis.url,
    () => {
      throw new Error('down')
    },
    { queue: { retry: { attempts: 1 }, breaker: { least: 1, open: '1m' } } },
  )
  await one.enqueue()
  await until(published, 'it is published')
  await one.app.stop(Date.now() + 5_000)
  expect(await published()).toBeNull()
})
