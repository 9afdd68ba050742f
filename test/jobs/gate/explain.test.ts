import { afterAll, describe, expect, it } from 'vitest'
import type { QueueOptions } from '../../../src/index.ts'
import { explainJob } from '../../../src/jobs/explain.ts'
import { busyKeys, freeKey } from '../../../src/jobs/gate/view.ts'
import { until } from '../../harness/until.ts'
import { gated, type Item, items, type Payload, useStore } from './harness.ts'

/* Why a job waits, asked of a live system that is in just that state. */

useStore()

const by = (item: Item) => item.key
const took: number[] = []

/** A queue whose jobs stay in hand until they are let go. */
async function holding(options: Partial<QueueOptions<Payload>>, concurrency = 10) {
  let letGo = () => {}
  const gate = new Promise<void>((resolve) => {
    letGo = resolve
  })
  let inHand = 0
  const made = await gated(
    options,
    async () => {
      inHand += 1
      await gate
    },
    { concurrency },
  )
  return {
    ...made,
    letGo,
    inHand: (count: number) => until(() => inHand === count, `${count} are in hand`),
    why: async (id: string | undefined) => {
      const began = performance.now()
      const found = await explainJob(made.bull, id ?? '')
      took.push(performance.now() - began)
      return found
    },
  }
}

/** It takes a few questions to the store, asked at once: the slowest of all is still far below a blink. */
afterAll(() => expect(took.sort((a, b) => a - b)[Math.floor(took.length / 2)]).toBeLessThan(200))

describe('a job that waits', () => {
  it('says that nobody works on its queue, that it is next, and that it was done', async () => {
    const { enqueue, work, why, letGo, inHand } = await holding({})
    const [job] = await enqueue(items('a', 1))
    expect(await why(job?.id)).toMatchObject({ code: 'no-worker', state: 'waiting' })
    await work()
    await inHand(1)
    const running = await why(job?.id)
    expect(running).toMatchObject({ code: 'running', state: 'active' })
    expect(running.words).toContain(`-${process.pid}-x10`)
    letGo()
    await until(async () => (await why(job?.id)).code === 'completed', 'it is done')
  })

  it('says that all slots are busy, and how many are before it', async () => {
    const { enqueue, work, why, letGo, inHand } = await holding({}, 2)
    await work()
    const jobs = await enqueue(items('a', 5))
    await inHand(2)
    const codes = await Promise.all(jobs.map(({ id }) => why(id)))
    expect(codes.filter(({ code }) => code === 'running')).toHaveLength(2)
    const busy = codes.filter(({ code }) => code === 'slots-busy')
    expect(busy.map(({ facts }) => facts.position).sort()).toEqual([0, 1, 2])
    expect(busy[0]?.words).toContain('All 2 slots of the worker are busy')
    letGo()
  })

  it('says that the queue is paused, and since when', async () => {
    const { enqueue, work, why, bull } = await holding({})
    await bull.pause()
    await bull.redis.hset(bull.toKey('meta'), 'pausedBy', 'olga', 'pausedAt', Date.now())
    await work()
    const [job] = await enqueue(items('a', 1))
    const found = await why(job?.id)
    expect(found.code).toBe('queue-paused')
    expect(found.words).toContain('by olga since 20')
  })

  it('says that the store takes no writes', async () => {
    const { enqueue, why, bull } = await holding({})
    const [job] = await enqueue(items('a', 1))
    await bull.redis.config('SET', 'min-replicas-to-write', '1')
    try {
      expect(await why(job?.id)).toMatchObject({ code: 'store-refuses-writes' })
    } finally {
      await bull.redis.config('SET', 'min-replicas-to-write', '0')
    }
  })

  it('says that the queue may start no more, and when it may', async () => {
    const { enqueue, work, why, inHand, letGo } = await holding({ limit: { max: 2, per: '1h' } })
    await work()
    const jobs = await enqueue(items('a', 3))
    await inHand(2)
    const found = await until(
      async () => (await Promise.all(jobs.map(({ id }) => why(id)))).find(({ code }) => code === 'queue-rate-limit'),
      'one waits for the limit',
    )
    expect(Date.parse(found.until ?? '')).toBeGreaterThan(Date.now() + 3_500_000)
    letGo()
  })

  it('says that the queue may have no more in hand', async () => {
    const { enqueue, work, why, inHand, bull, letGo } = await holding({})
    await bull.setGlobalConcurrency(1)
    await work()
    const jobs = await enqueue(items('a', 2))
    await inHand(1)
    const codes = await Promise.all(jobs.map(async ({ id }) => (await why(id)).code))
    expect(codes.sort()).toEqual(['queue-concurrency', 'running'])
    letGo()
  })

  it('says which job holds its key, and the key can be freed', async () => {
    const { enqueue, work, why, inHand, bull, letGo } = await holding({ order: { by } })
    await work()
    const [first, second, third] = await enqueue(items('k', 3))
    await inHand(1)
    expect(await why(second?.id)).toMatchObject({ code: 'key-busy', facts: { holder: first?.id, key: 'k', ahead: 0 } })
    expect(await why(third?.id)).toMatchObject({ code: 'key-busy', facts: { ahead: 1 } })
    expect(await busyKeys(bull, 10)).toEqual([{ tenant: '', key: 'k', job: first?.id, state: 'active', waiting: 2 }])
    expect(await freeKey(bull, '', 'k')).toBe(first?.id)
    await inHand(2)
    expect(await why(second?.id)).toMatchObject({ code: 'running' })
    expect(await freeKey(bull, '', 'other')).toBeNull()
    letGo()
  })

  it('says that its key is at its limit', async () => {
    const { enqueue, work, why, inHand, letGo } = await holding({ limit: { max: 1, per: '1h', by } })
    await work()
    const [, second] = await enqueue(items('k', 2))
    await inHand(1)
    const found = await until(async () => {
      const now = await why(second?.id)
      return now.code === 'key-limited' ? now : undefined
    }, 'it waits for the limit')
    expect(found.facts.key).toBe('k')
    expect(Date.parse(found.until ?? '')).toBeGreaterThan(Date.now() + 3_500_000)
    letGo()
  })

  it('says that its tenant has enough in hand', async () => {
    const { enqueue, work, why, inHand, letGo } = await holding({ tenant: { by, concurrency: 2 } })
    await work()
    const jobs = await enqueue(items('t', 4))
    await inHand(2)
    expect(await why(jobs[3]?.id)).toMatchObject({
      code: 'tenant-cap',
      facts: { tenant: 't', running: 2, concurrency: 2, ahead: 1 },
    })
    letGo()
  })

  it('says that its tenant has started enough', async () => {
    const { enqueue, work, why, inHand, letGo } = await holding({ tenant: { by, rate: { max: 1, per: '1h' } } })
    await work()
    const [, second] = await enqueue(items('t', 2))
    await inHand(1)
    await until(async () => (await why(second?.id)).code === 'tenant-rate', 'it waits for the rate')
    letGo()
  })

  it("says that its tenant's turn comes later, after whom", async () => {
    const { enqueue, work, why, inHand, letGo } = await holding({ tenant: { by } }, 1)
    await work()
    await enqueue(items('x', 1))
    await inHand(1)
    const [ahead] = await enqueue([{ key: 'a', n: 0 }])
    const [mine] = await enqueue([{ key: 'b', n: 0 }])
    const [after] = await enqueue([{ key: 'b', n: 1 }])
    expect(await why(ahead?.id)).toMatchObject({ code: 'slots-busy' })
    expect(await why(mine?.id)).toMatchObject({ code: 'tenant-turn', facts: { ahead: 0, tenantsBefore: 1 } })
    expect(await why(after?.id)).toMatchObject({ code: 'tenant-turn', facts: { ahead: 1, tenantsBefore: 1 } })
    letGo()
  })

  it('says until when it was put off, and that a dead one is dead', async () => {
    const { bull, why, work, enqueue } = await holding({})
    const later = await bull.add('x', {}, { delay: 60_000 })
    const found = await why(later.id)
    expect(found.code).toBe('delayed-until')
    expect(Math.abs(Date.parse(found.until ?? '') - Date.now() - 60_000)).toBeLessThan(5_000)
    const bad = await bull.add('x', { not: 'fitting' })
    await work()
    const dead = await until(async () => {
      const now = await why(bad.id)
      return now.code === 'unfit' ? now : undefined
    }, 'it is dead')
    expect(dead.words).toContain('stored payload')
    await enqueue([])
  })
})

it('refuses what is no job', async () => {
  const { bull } = await holding({})
  for (const id of ['nope', 'meta', 'gate', '', '../x', 'a b'])
    await expect(explainJob(bull, id)).rejects.toThrow(expect.objectContaining({ code: 'unknown-job' }))
})
