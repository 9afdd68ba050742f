import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import { z } from 'zod'
import quarantine from '../../../queues/quarantine.ts'
import type { Handler } from '../../../src/define/worker.ts'
import { defineQueue, defineWorker, type Queue, type QueueOptions } from '../../../src/index.ts'
import type { BullQueue } from '../../../src/jobs/bull.ts'
import { startTestApp, type TestApp } from '../../harness/app.ts'
import { startRedis, type TestRedis } from '../../harness/redis.ts'
import { freshId } from '../../harness/slack.ts'

export const payload = z.object({ key: z.string(), n: z.number() })
export type Payload = typeof payload
export type Item = z.infer<Payload>

let redis: TestRedis
const apps: TestApp[] = []

/** Each file has a store of its own; Apps end with their test. */
export function useStore(): void {
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterEach(async () => {
    for (const app of apps.splice(0)) await app.close()
  })
  afterAll(() => redis.stop())
}

/** A queue whose jobs can be stored before anybody works on them, by as many Apps as the test likes. */
export async function gated(
  options: Partial<QueueOptions<Payload>>,
  handle: Handler<Queue<Payload>, unknown>,
  { concurrency = 10 }: { concurrency?: number } = {},
) {
  const prefix = freshId('p')
  const queue = defineQueue({ name: 'gated', payload, retry: { attempts: 3, base: '1ms', max: '5ms' }, ...options })
  const worker = defineWorker(queue, handle, { concurrency })
  const start = async (roles: string, env: Record<string, string> = {}) => {
    const app = await startTestApp(redis.url, {
      definitions: { queues: [queue, quarantine], workers: [worker], ignored: [] },
      env: { ROLES: roles, KEY_PREFIX: prefix, ...env },
    })
    apps.push(app)
    return app
  }
  const app = await start('scheduler')
  const bull = app.bull.get('gated') as BullQueue
  return {
    queue,
    bull,
    app,
    work: () => start('worker'),
    enqueue: (items: readonly Item[]) => Promise.all(items.map((item) => app.enqueue(queue, item))),
    /** When jobs of a key were handed out, by the store's own clock: a busy machine cannot blur it. */
    startsOf: async (key: string) => {
      const events = await bull.redis.xrange(bull.toKey('events'), '-', '+')
      const starts: number[] = []
      for (const [at, [, event, , id]] of events) {
        if (event !== 'active') continue
        const job = await bull.getJob(id ?? '')
        if ((job?.data as Item | undefined)?.key === key) starts.push(Number(at.split('-')[0]))
      }
      return starts
    },
    /** Everything that the gate keeps and that must be empty when nothing is left to do. */
    leftovers: async () => ({
      running: (await bull.redis.hvals(bull.toKey('gate:running'))).reduce((sum, count) => sum + Number(count), 0),
      held: await bull.redis.hlen(bull.toKey('gate:held')),
      waiting: await bull.redis.zcard(bull.toKey('prioritized')),
    }),
  }
}

/** Fails unless at most `max` start within any stretch of time of `per` milliseconds. */
export function expectBound(starts: readonly number[], max: number, per: number): void {
  // The clock of the events and that of the bound are read within one script, which takes a moment.
  const moment = 5
  expect(starts.length).toBeGreaterThan(max)
  for (let i = max; i < starts.length; i++)
    expect((starts[i] ?? 0) - (starts[i - max] ?? 0)).toBeGreaterThan(per - moment)
}

export const items = (key: string, count: number): Item[] => Array.from({ length: count }, (_, n) => ({ key, n }))
