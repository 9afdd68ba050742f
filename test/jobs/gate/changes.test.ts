import { expect, it } from 'vitest'
import quarantine from '../../../queues/quarantine.ts'
import { defineQueue, defineWorker } from '../../../src/index.ts'
import type { BullQueue } from '../../../src/jobs/bull.ts'
import { startTestApp } from '../../harness/app.ts'
import { startRedis } from '../../harness/redis.ts'
import { freshId } from '../../harness/slack.ts'
import { until } from '../../harness/until.ts'
import { type Item, items, payload } from './harness.ts'

/* A queue file that changes while jobs wait: another version of it stored them than works on them. */

type Options = Parameters<typeof defineQueue<typeof payload>>[0]
const by = (item: Item) => item.key
const keys = Array.from({ length: 10 }, (_, i) => `k${i}`)
const all = keys.flatMap((key) => items(key, 20)).sort((a, b) => a.n - b.n)

/** Stores jobs under one version of the queue file and works them off under another. */
async function change(
  before: Partial<Options>,
  after: Partial<Options>,
  meddle: (bull: BullQueue) => Promise<unknown> = () => Promise.resolve(),
) {
  const redis = await startRedis()
  const env = { KEY_PREFIX: freshId('p') }
  const seen: Item[] = []
  const inHand = new Map<string, number>()
  const most = { ofKey: 0, ofAll: 0 }
  const queueOf = (options: Partial<Options>) => defineQueue({ name: 'changing', payload, ...options })
  const handle = async ({ payload: item }: { payload: Item }) => {
    const count = (inHand.get(item.key) ?? 0) + 1
    inHand.set(item.key, count)
    most.ofKey = Math.max(most.ofKey, count)
    most.ofAll = Math.max(
      most.ofAll,
      [...inHand.values()].reduce((sum, n) => sum + n, 0),
    )
    await new Promise((resolve) => setTimeout(resolve, 2))
    inHand.set(item.key, (inHand.get(item.key) ?? 1) - 1)
    seen.push(item)
  }
  const start = (options: Partial<Options>, roles: string) => {
    const queue = queueOf(options)
    const workers = roles === 'worker' ? [defineWorker(queue, handle, { concurrency: 20 })] : []
    return startTestApp(redis.url, {
      definitions: { queues: [queue, quarantine], workers, ignored: [] },
      env: { ...env, ROLES: roles },
    })
  }
  const first = await start(before, 'scheduler')
  try {
    await Promise.all(all.map((item) => first.enqueue(queueOf(before), item)))
    await meddle(first.bull.get('changing') as BullQueue)
    const second = await start(after, 'worker')
    try {
      await until(() => seen.length === all.length, `all are done: ${seen.length}`, 30_000)
      const bull = second.bull.get('changing') as BullQueue
      await until(async () => (await bull.getActiveCount()) === 0, 'none is in hand')
      expect(seen.length).toBe(all.length)
      return { seen, most }
    } finally {
      await second.close()
    }
  } finally {
    await first.close()
    await redis.stop()
  }
}
const inOrder = (seen: readonly Item[]) =>
  keys.every((key) => seen.filter((item) => item.key === key).every(({ n }, i) => n === i))

it('keeps the bounds of a gate that came while jobs waited', async () => {
  const { most } = await change({}, { tenant: { by, concurrency: 1 } })
  expect(most.ofKey).toBe(1)
  expect(most.ofAll).toBeGreaterThan(1)
})

it('keeps an order that came while jobs waited', async () => {
  const { seen, most } = await change({}, { order: { by } })
  expect(inOrder(seen)).toBe(true)
  expect(most.ofKey).toBe(1)
  expect(most.ofAll).toBeGreaterThan(1)
})

it('works off what a gate left that is gone', async () => {
  await change({ tenant: { by, concurrency: 1 }, order: { by } }, {})
})

it('works off the lanes of another kind', async () => {
  const { most } = await change({ order: { by } }, { tenant: { by, concurrency: 1 } })
  expect(most.ofKey).toBe(1)
  await change({ tenant: { by }, order: { by } }, { tenant: { by, concurrency: 2 } })
  await change({ tenant: { by } }, { tenant: { by }, order: { by } })
})

it('works off jobs that were put off under lanes of another kind', async () => {
  const putOff = async (bull: BullQueue) => {
    const ids = await bull.redis.zrange(bull.toKey('prioritized'), '0', '-1')
    const due = String(Date.now() * 4096)
    const change = bull.redis.multi().del(bull.toKey('prioritized'))
    await change.zadd(bull.toKey('delayed'), ...ids.flatMap((id) => [due, id])).exec()
  }
  const { most } = await change({ order: { by } }, { tenant: { by, concurrency: 1 } }, putOff)
  expect(most.ofKey).toBe(1)
  const { most: ordered } = await change({ tenant: { by } }, { order: { by } }, putOff)
  expect(ordered.ofKey).toBe(1)
})

it('loses no job that BullMQ itself had given a priority', async () => {
  await change({}, { tenant: { by } }, async (bull) => {
    for (const job of await bull.getJobs(['waiting']))
      await job.changePriority({ priority: 1 + Math.floor(Math.random() * 12) })
  })
})

it('lets nobody take a job out of its lane by giving it a priority', async () => {
  await change({ tenant: { by, concurrency: 1 } }, { tenant: { by, concurrency: 1 } }, async (bull) => {
    const [job] = await bull.getJobs(['prioritized'])
    await expect(job?.changePriority({ priority: 0 })).rejects.toThrow('take turns')
    await expect(job?.changePriority({ priority: 9 })).rejects.toThrow('take turns')
  })
})

it('loses and leaves none with both versions at work at once', async () => {
  const redis = await startRedis()
  const env = { KEY_PREFIX: freshId('p'), ROLES: 'worker' }
  const done = new Set<string>()
  const versions: Partial<Options>[] = [{}, { tenant: { by, concurrency: 2 } }, { order: { by } }]
  const start = async (version: number) => {
    const queue = defineQueue({ name: 'changing', payload, retry: { base: '1ms', max: '5ms' }, ...versions[version] })
    const worker = defineWorker(queue, ({ payload: { key, n }, attempt }) => {
      if (attempt === 1 && n % 3 === 0) throw new Error('once')
      done.add(`${key} ${n}`)
    })
    const definitions = { queues: [queue, quarantine], workers: [worker], ignored: [] }
    return { queue, app: await startTestApp(redis.url, { definitions, env }) }
  }
  const running: Awaited<ReturnType<typeof start>>[] = []
  try {
    let n = 0
    for (const version of [0, 1, 0, 2, 1, 2, 0, 1]) {
      running.push(await start(version))
      if (running.length > 3) await running.shift()?.app.close()
      await Promise.all(
        running.flatMap(({ app, queue }) =>
          keys.flatMap((key) => [app.enqueue(queue, { key, n: n++ }), app.enqueue(queue, { key, n: n++ })]),
        ),
      )
    }
    await until(() => done.size === n, `all are done`, 25_000)
  } finally {
    for (const { app } of running) await app.close()
    await redis.stop()
  }
})
