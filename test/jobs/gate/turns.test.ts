import { expect, it } from 'vitest'
import type { QueueOptions } from '../../../src/index.ts'
import { explainJob } from '../../../src/jobs/explain.ts'
import { setTerms } from '../../../src/jobs/gate/settings.ts'
import { Gate } from '../../../src/jobs/gate.ts'
import { summarizeQueue } from '../../../src/jobs/inspect.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { until } from '../../harness/until.ts'
import { expectBound, gated, type Item, items, type Payload, useStore } from './harness.ts'

/* Turns between tenants, and their bounds, with jobs that are really worked. */

useStore()

const by = (item: Item) => item.key

/** What was done, in order, when all waited before the first was taken. */
async function worked(tenant: NonNullable<QueueOptions<Payload>['tenant']>, waiting: readonly Item[], concurrency = 1) {
  const done: Item[] = []
  const { enqueue, work } = await gated({ tenant: { by, ...tenant } }, async ({ payload }) => void done.push(payload), {
    concurrency,
  })
  await enqueue(waiting)
  await work()
  await until(() => done.length === waiting.length, 'all are done')
  return done
}

it('gives turns by weight, and keeps the order within a tenant', async () => {
  const weights: Record<string, number> = { a: 3, b: 2, c: 1 }
  const done = await worked({ weight: (tenant) => weights[tenant] ?? 1 }, [
    ...items('a', 600),
    ...items('b', 600),
    ...items('c', 600),
  ])
  // The first tenant has nothing left after 1,200.
  for (let from = 0; from <= 600; from += 50) {
    const window = done.slice(from, from + 600)
    for (const [tenant, weight] of Object.entries(weights)) {
      const share = window.filter((item) => item.key === tenant).length
      expect(Math.abs(share - weight * 100), `${tenant} from ${from}`).toBeLessThanOrEqual(weight * 10)
    }
  }
  for (const tenant of 'abc')
    expect(done.filter((item) => item.key === tenant).map((item) => item.n)).toEqual(
      items(tenant, 600).map(({ n }) => n),
    )
})

it('lets nobody wait while one floods, and leaves no turn unused', async () => {
  const done = await worked({}, [...items('flood', 500), ...items('quiet', 5)])
  expect(done.findLastIndex((item) => item.key === 'quiet')).toBeLessThanOrEqual(10)
})

it('gives who comes back after a pause no more than who was there', async () => {
  const done: Item[] = []
  const { enqueue, work } = await gated({ tenant: { by } }, async ({ payload }) => void done.push(payload), {
    concurrency: 1,
  })
  await work()
  await enqueue(items('busy', 200))
  await until(() => done.length === 200, 'one has had many turns')
  const before = done.length
  await enqueue([...items('busy', 50), ...items('fresh', 50)])
  await until(() => done.length === before + 100, 'all are done')
  const order = done.slice(before, before + 40).filter((item) => item.key === 'fresh')
  // Not the first forty, as it would be if turns that were not taken could be saved up.
  expect(order.length).toBeLessThan(30)
  expect(order.length).toBeGreaterThan(10)
})

it('bounds what a tenant has in hand in all processes together, and uses what is left for others', async () => {
  const now: Record<string, number> = {}
  const most: Record<string, number> = {}
  let done = 0
  const { enqueue, work, leftovers } = await gated({ tenant: { by, concurrency: 3 } }, async ({ payload: { key } }) => {
    now[key] = (now[key] ?? 0) + 1
    most[key] = Math.max(most[key] ?? 0, now[key])
    await new Promise((resolve) => setTimeout(resolve, 1))
    now[key] -= 1
    done += 1
  })
  await enqueue([...items('a', 400), ...items('b', 100)])
  await work()
  await work()
  await until(() => done === 500, 'all are done')
  expect(most).toEqual({ a: 3, b: 3 })
  await until(async () => (await leftovers()).running === 0, 'every slot is given back')
})

it('starts no more jobs of a tenant within a time than it may', async () => {
  let done = 0
  const rate = { max: 5, per: '200ms' } as const
  const { enqueue, work, startsOf } = await gated({ tenant: { by, rate } }, async () => {
    done += 1
  })
  await enqueue([...items('a', 30), ...items('b', 10)])
  await work()
  await until(() => done === 40, 'all are done')
  for (const key of 'ab') expectBound(await startsOf(key), 5, 200)
})

it('keeps the turns of jobs that are tried again', async () => {
  const done: Item[] = []
  const failed = new Set<string>()
  const { enqueue, work, leftovers } = await gated({ tenant: { by, concurrency: 1 } }, async ({ payload }) => {
    const id = `${payload.key}${payload.n}`
    if (payload.n % 3 === 0 && !failed.has(id)) {
      failed.add(id)
      throw new Error('once')
    }
    done.push(payload)
  })
  await enqueue([...items('a', 30), ...items('b', 30)])
  await work()
  await until(() => done.length === 60, 'all are done')
  await until(async () => (await leftovers()).running === 0, 'every slot is given back')
})

it('has Redis walk through no list of tenants', async () => {
  const { enqueue, bull } = await gated({ tenant: { by, concurrency: 2 } }, () => {})
  await enqueue(items('a', 3))
  const encodings = await Promise.all(
    ['lanes', 'running', 'turns', 'ready'].map((name) => bull.redis.object('ENCODING', bull.toKey(`gate:${name}`))),
  )
  expect(encodings).toEqual(['hashtable', 'hashtable', 'hashtable', 'skiplist'])
})

it('remembers nothing of tenants that have gone', async () => {
  let count = 0
  const { enqueue, work, bull, app, queue } = await gated({ tenant: { by, concurrency: 2 } }, async () => {
    count += 1
  })
  const most = 500
  await enqueue(Array.from({ length: most }, (_, n) => ({ key: `visitor ${n}`, n })))
  await work()
  await until(() => count === most, 'all are done')
  const log = createLogger({ logLevel: 'silent', logFormat: 'json' })
  const gate = new Gate({ queues: [queue], bull: app.bull, log })
  await until(
    async () => {
      await gate.reconcile()
      const kept = await Promise.all(
        ['lanes', 'names', 'running', 'turns'].map((name) => bull.redis.hlen(bull.toKey(`gate:${name}`))),
      )
      // Three of them have an entry that keeps them from being lists.
      return kept.reduce((sum, n) => sum + n, 0) <= 1 + 3
    },
    'only the virtual time is left',
    5_000,
  )
})

it('tells for how long the oldest job waits, of whatever tenant', async () => {
  const { bull, enqueue, app, queue } = await gated({ tenant: { by: ({ key }) => key } }, () => {})
  expect((await summarizeQueue(bull)).oldestWaitingSeconds).toBe(0)
  const [first] = await enqueue([...items('a', 3), ...items('b', 1)])
  const age = async () => (await summarizeQueue(bull)).oldestWaitingSeconds
  await bull.redis.hset(bull.toKey(first?.id ?? ''), 'timestamp', Date.now() - 60_000)
  expect(await age()).toBeGreaterThanOrEqual(60)
  expect(await age()).toBeLessThan(70)
  // The time before it was due is none in which it waited.
  const later = await app.enqueue(queue, { key: 'c', n: 0 }, { delay: '1h' })
  await (await bull.getJob(first?.id ?? ''))?.remove()
  await (await bull.getJob(later.id))?.promote()
  expect(await age()).toBeLessThan(10)
})

it('keeps to a bound from the moment it is set, with jobs in hand and others whose turn it was', async () => {
  const letGo: (() => void)[] = []
  const inHand = new Set<number>()
  const { bull, enqueue, work } = await gated(
    { tenant: { by } },
    async ({ payload: { n } }) => {
      inHand.add(n)
      await new Promise<void>((resolve) => letGo.push(resolve))
      inHand.delete(n)
    },
    { concurrency: 3 },
  )
  const jobs = await enqueue(items('a', 5))
  await work()
  await until(() => inHand.size === 3, 'all slots are taken')
  await setTerms(bull, 'a', { weight: 1, concurrency: 2, rate: undefined })
  letGo[0]?.()
  // The script that completes a job takes the next one.
  await until(async () => (await bull.getJobState(jobs[0]?.id ?? '')) === 'completed', 'one is done')
  expect(await explainJob(bull, jobs[4]?.id ?? '')).toMatchObject({ code: 'tenant-cap', facts: { running: 2 } })
  expect([...inHand]).toEqual([1, 2])
  letGo[1]?.()
  await until(() => inHand.has(3), 'below its bound it goes on')
  for (const go of letGo) go()
  await until(() => inHand.has(4), 'the last one runs')
  for (const go of letGo) go()
})
