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

it('begins with each job as soon as it has it, however many more there are', async () => {
  const jobs = 20
  const queue = defineQueue({ name: 'started', payload: z.unknown() })
  const worker = defineWorker(queue, () => undefined, { concurrency: jobs })
  const address = { host: '', port: 0, path: redis.path, db: 0 }
  const [reader, connection] = [connect(address, 'reader'), connect(address, 'consumer')]
  const prefix = freshId('c')
  const bull = openQueues([queue], reader, prefix).get('started')
  await bull?.addBulk(Array.from({ length: jobs }, (_, n) => ({ name: 'x', data: { n } })))

  /** How many fetches there had been when each handler was called. */
  const fetches: number[] = []
  let release = () => {}
  const held = new Promise<void>((resolve) => {
    release = resolve
  })
  const consumer: Consumer = openConsumer(
    { worker, redis: connection, prefix },
    {
      process: () => {
        fetches.push(consumer.fetches)
        return held
      },
      backoff: () => -1,
    },
  )
  try {
    void consumer.run()
    await until(() => fetches.length === jobs, 'all are begun with')
    expect(fetches).toEqual(Array.from({ length: jobs }, (_, n) => n + 1))
  } finally {
    release()
    await consumer.close()
    await bull?.close()
    await disconnect(connection)
    await disconnect(reader)
  }
})
