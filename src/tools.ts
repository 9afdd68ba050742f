import type { Config } from './config.ts'
import type { Enqueue } from './define/worker.ts'
import { type BullQueue, openQueues } from './jobs/bull.ts'
import { Producer } from './jobs/producer.ts'
import type { Definitions } from './load.ts'
import { createMetrics } from './observe/metrics.ts'
import { checkStore, connect, disconnect, untilReady } from './redis/store.ts'
import { Stores } from './redis/stores.ts'

export type Tools = {
  readonly bull: ReadonlyMap<string, BullQueue>
  readonly enqueue: Enqueue
  close(): Promise<void>
}

/** Queues and a producer for one command. Throws as a start would. */
export async function openTools(config: Config, { queues }: Definitions): Promise<Tools> {
  const stores = new Stores(config)
  await stores.start()
  try {
    const address = stores.address('queue')
    await checkStore(address, 'queue', config)
    const redis = connect(address, 'reader', config)
    const bull = openQueues(queues, redis, config.keyPrefix)
    const producer = new Producer({
      redis,
      queues,
      bull,
      prefix: config.keyPrefix,
      durability: config.durability,
      ackDeadlineMs: config.ackDeadlineMs,
      metrics: createMetrics(),
      refusal: () => undefined,
    })
    await untilReady(redis)
    return {
      bull,
      enqueue: producer.enqueue,
      close: async () => {
        await producer.stop()
        await Promise.all([...bull.values()].map((queue) => queue.close()))
        await disconnect(redis)
        await stores.stop()
      },
    }
  } catch (error) {
    await stores.stop()
    throw error
  }
}
