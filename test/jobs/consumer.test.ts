import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import { defineQueue, defineWorker } from '../../src/index.ts'
import { openQueues } from '../../src/jobs/bull.ts'
import { type Consumer, openConsumer } from '../../src/jobs/consumer.ts'
import { connect, disconnect } from '../../src/redis/store.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())

type Opened = {
  readonly consumer: Consumer
  readonly begun: string[]
  /** Fetches answered when each handler was called. */
  readonly fetches: number[]
  release(): void
  close(): Promise<void>
}

/** A consumer with jobs to take, which it holds until it is told otherwise. It does not run yet. */
async function open(jobs: number, concurrency: number): Promise<Opened> {
  const queue = defineQueue({ name: 'started', payload: z.unknown() })
  const worker = defineWorker(queue, () => undefined, { concurrency })
  const address = { host: '', port: 0, path: redis.path, db: 0 }
  const [reader, connection] = [connect(address, 'reader'), connect(address, 'consumer')]
  const prefix = freshId('c')
  const bull = openQueues([queue], reader, prefix).get('started')
  await bull?.addBulk(Array.from({ length: jobs }, (_, n) => ({ name: 'x', data: { n }, opts: { jobId: `j${n}` } })))
  const [begun, fetches]: [string[], number[]] = [[], []]
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const consumer: Consumer = openConsumer(
    { worker, redis: connection, prefix },
    {
      process: (job) => {
        begun.push(job.id ?? '')
        fetches.push(consumer.fetches)
        return held
      },
      backoff: () => -1,
    },
  )
  const close = async () => {
    release()
    await consumer.close()
    await bull?.close()
    await disconnect(connection)
    await disconnect(reader)
  }
  return { consumer, begun, fetches, release, close }
}

/** Each once, and none far from its place: those that are fetched at once may begin in any order. */
function expectInTurn(begun: readonly string[], count: number): void {
  expect(new Set(begun).size).toBe(count)
  for (const [n, id] of begun.entries()) expect(Math.abs(Number(id.slice(1)) - n)).toBeLessThanOrEqual(4)
}

it('begins with each job as soon as it has it, however many more there are', async () => {
  const { consumer, begun, fetches, close } = await open(20, 20)
  try {
    void consumer.run()
    await until(() => begun.length === 20, 'all are begun with')
    expectInTurn(begun, 20)
    expect(fetches[0]).toBe(1)
    // And not after all of them: how far fetching is ahead is a matter of who is faster.
    expect(fetches[5]).toBeLessThan(20)
  } finally {
    await close()
  }
})

it.each([1, 2, 3, 7])(
  'takes no more than %i at once, and all in their turn, whatever it fetches beforehand',
  async (slots) => {
    const { consumer, begun, release, close } = await open(40, slots)
    try {
      void consumer.run()
      await until(() => begun.length === slots, 'its slots are taken')
      const active = await redis.client.llen(`${consumer.opts.prefix}:started:active`)
      expect(active).toBe(slots)
      release()
      await until(() => begun.length === 40, 'all are begun with')
      expectInTurn(begun, 40)
    } finally {
      await close()
    }
  },
)

it('has none in hand any more, and no fetch under way, when it has stopped in the middle of many', async () => {
  const { consumer, begun, release, close } = await open(400, 10)
  void consumer.run()
  await until(() => begun.length === 10, 'its slots are taken')
  release()
  await until(() => begun.length > 50, 'it is in the middle')
  const prefix = String(consumer.opts.prefix)
  await close()
  expect(await redis.client.llen(`${prefix}:started:active`)).toBe(0)
  const [waiting, completed] = [
    await redis.client.llen(`${prefix}:started:wait`),
    await redis.client.zcard(`${prefix}:started:completed`),
  ]
  expect([waiting + completed, completed]).toEqual([400, begun.length])
})
