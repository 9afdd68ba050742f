import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import { defineQueue, defineWorker } from '../../src/index.ts'
import { openQueues, waitingIn } from '../../src/jobs/bull.ts'
import { Consumer } from '../../src/jobs/consumer.ts'
import { Runner } from '../../src/jobs/runner.ts'
import { Strays } from '../../src/jobs/strays.ts'
import { Watchdog } from '../../src/jobs/watchdog.ts'
import { createLogger } from '../../src/observe/log.ts'
import { createMetrics } from '../../src/observe/metrics.ts'
import { connect, disconnect } from '../../src/redis/store.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { type Swallow, swallowBefore } from '../harness/swallow.ts'
import { until } from '../harness/until.ts'

/* A worker that is really stuck, and what becomes of it. */

let redis: TestRedis
const cleanups: (() => unknown)[] = []
beforeAll(async () => {
  redis = await startRedis()
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})
afterAll(() => redis.stop())

const boundMs = 1_000

async function rig(
  handle: (n: number) => unknown,
  { concurrency = 2, way }: { concurrency?: number; way?: Swallow } = {},
) {
  const queue = defineQueue({ name: 'watched', payload: z.object({ n: z.number() }), retry: { attempts: 2 } })
  const worker = defineWorker(queue, ({ payload }) => handle(payload.n), { concurrency })
  const prefix = freshId('w')
  const address = (path: string) => ({ host: '', port: 0, path, db: 0 })
  const reader = connect(address(redis.path), 'reader')
  const consumer = connect(address(way ? way.url.slice('unix://'.length) : redis.path), 'consumer')
  const bull = openQueues([queue], reader, prefix)
  const log = createLogger({ logLevel: process.env.TEST_LOG ?? 'silent', logFormat: 'json' })
  const metrics = createMetrics()
  const enqueue = () => Promise.reject(new Error('nothing is enqueued here'))
  const runner = new Runner({ worker, redis: consumer, prefix, log, metrics, enqueue, settings: undefined })
  await runner.start()
  const strays = new Strays({ runners: [runner], redis: consumer, log })
  await strays.start()
  const watchdog = new Watchdog({ workers: [runner], waiting: waitingIn(bull), log, metrics, boundMs, everyMs: 50 })
  await watchdog.start()
  const own = bull.get('watched')
  if (!own) throw new Error('no queue')
  cleanups.push(async () => {
    watchdog.quiet()
    strays.quiet()
    await runner.stop(Date.now() + 3_000)
    await watchdog.stop()
    await strays.stop()
    await disconnect(consumer)
    await own.close()
    await disconnect(reader)
  })
  return {
    runner,
    bull: own,
    consumer,
    add: (n: number) => own.add('x', { n }),
    restarts: async () => (await metrics.workerRestarts.get()).values[0]?.value ?? 0,
  }
}

it('is red and started anew when its fetch never ends, and the jobs in hand are finished by the old one', async () => {
  const done: number[] = []
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const { runner, add, restarts, bull } = await rig(async (n) => {
    if (n === 1) await held
    done.push(n)
  })
  const first = await add(1)
  await until(() => runner.consumers.all[0]?.holds(first.id ?? ''), 'the first is in hand')
  // The promise that nobody settles: of the first consumer, and of the second as well for a while.
  const { prototype } = Consumer as unknown as { prototype: { moveToActive(...args: unknown[]): Promise<unknown> } }
  const fetch = Object.getPrototypeOf(prototype).moveToActive as typeof prototype.moveToActive
  let isStuck = true
  prototype.moveToActive = function (...args) {
    return isStuck ? new Promise(() => {}) : fetch.apply(this, args)
  }
  cleanups.push(() => Reflect.deleteProperty(prototype, 'moveToActive'))
  await add(2)
  const red = await until(() => (runner.health().ok ? undefined : runner.health()), 'it is red')
  expect(red.detail).toMatch(/^jobs wait and nothing was fetched for \d+ s; its consumer was started anew$/)
  isStuck = false
  await until(() => done.includes(2), 'the second job is done by a new consumer')
  expect(runner.health().ok).toBe(true)
  expect(await restarts()).toBeGreaterThanOrEqual(1)
  release()
  await until(() => bull.redis.zscore(bull.toKey('completed'), first.id ?? ''), 'the first is stored as done')
  expect(done).toEqual([2, 1])
})

it('gets new connections when the old ones are dead without anybody having closed them', async () => {
  const way = await swallowBefore(redis)
  const done: number[] = []
  const { add, restarts, runner, bull } = await rig((n) => void done.push(n), { way })
  await add(1)
  await until(() => done.length === 1, 'the first is done')
  expect(way.deafen()).toBe(2)
  for (const n of [2, 3, 4]) await add(n)
  await until(() => done.length === 4, 'the others are done')
  expect([...done].sort()).toEqual([1, 2, 3, 4])
  expect(await restarts()).toBe(1)
  expect(runner.health().ok).toBe(true)
  await until(async () => (await bull.getJobCounts('completed')).completed === 4, 'all are stored as done')
  // Stopping must not wait for the one that is stuck.
  const began = performance.now()
  await runner.stop(Date.now() + 10_000)
  expect(performance.now() - began).toBeLessThan(4_000)
  way.close()
})

it.each([
  ['without jobs', async () => {}],
  [
    'with a paused queue',
    async ({ bull, add }: Awaited<ReturnType<typeof rig>>) => {
      await bull.pause()
      await add(1)
    },
  ],
  [
    'with all slots taken',
    async ({ add }: Awaited<ReturnType<typeof rig>>) => {
      for (const n of [1, 2, 3]) await add(n)
    },
  ],
  [
    'with a rate limit',
    async ({ bull, add }: Awaited<ReturnType<typeof rig>>) => {
      await bull.rateLimit(60_000)
      await add(1)
    },
  ],
])('leaves one alone that is well: %s', async (_name, arrange) => {
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const it = await rig(() => held)
  await arrange(it)
  // Longer than the bound, which is what the claim is about.
  await new Promise((resolve) => setTimeout(resolve, 1.7 * boundMs))
  expect(await it.restarts()).toBe(0)
  expect(it.runner.health().ok).toBe(true)
  release()
  await it.bull.redis.del(it.bull.toKey('limiter'))
})

it('puts back what a dying store gave away without anybody hearing of it', async () => {
  const done: number[] = []
  const { add, bull, runner } = await rig((n) => void done.push(n))
  await add(1)
  await until(() => done.length === 1, 'it works')
  const [consumer] = runner.consumers.all
  // Handed out under this consumer's lock by a script whose answer is lost; others' jobs are not its business.
  await bull.pause()
  const [lost, foreign] = [await add(2), await add(3)]
  for (const [id = '', token] of [
    [lost.id, `${consumer?.id}:77`],
    [foreign.id, 'another-worker:1'],
  ] as const) {
    await bull.redis.lrem(bull.toKey('wait'), 1, id)
    await bull.redis.lpush(bull.toKey('active'), id)
    await bull.redis.hincrby(bull.toKey(id), 'ats', 1)
    await bull.redis.set(`${bull.toKey(id)}:lock`, token, 'PX', 30_000)
  }
  await bull.resume()
  const began = performance.now()
  await redis.kill()
  await redis.restart()
  await until(() => done.length === 2, 'the lost one is done')
  expect(performance.now() - began).toBeLessThan(10_000)
  expect(done).toEqual([1, 2])
  const { id = '' } = lost
  await until(async () => (await bull.redis.zscore(bull.toKey('completed'), id)) !== null, 'its end is stored')
  expect(await bull.redis.hmget(bull.toKey(id), 'ats', 'atm')).toEqual(['1', '1'])
  expect(await bull.redis.lrange(bull.toKey('active'), 0, -1)).toEqual([foreign.id])
})
