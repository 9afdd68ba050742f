import type { Config, StoreAddress } from './config.ts'
import type { Enqueue } from './define/worker.ts'
import { type BullQueue, openQueues } from './jobs/bull.ts'
import { Producer } from './jobs/producer.ts'
import type { Definitions } from './load.ts'
import { createMetrics } from './observe/metrics.ts'
import { ManagedStores } from './redis/managed.ts'
import { checkStore, connect, disconnect } from './redis/store.ts'

export type Tools = {
  readonly bull: ReadonlyMap<string, BullQueue>
  readonly enqueue: Enqueue
  close(): Promise<void>
}

/** The stores as a command uses them: for a moment, and whether or not a server runs. */
export async function openAddresses(
  config: Config,
  onProgress?: (detail: string) => void,
): Promise<{ addressOf: (role: 'queue' | 'cache') => StoreAddress; close: () => Promise<void> }> {
  const needsManaged = config.queueStore === 'managed' || config.cacheStore === 'managed'
  const managed = new ManagedStores({ ...config, ...(onProgress ? { onProgress } : {}) })
  if (needsManaged) await managed.start()
  return {
    addressOf: (role) => {
      const configured = role === 'queue' ? config.queueStore : config.cacheStore
      return configured === 'managed' ? managed.address(role) : configured
    },
    close: () => managed.stop(),
  }
}

/** Queues and a producer for one command. Throws as a start would. */
export async function openTools(config: Config, { queues }: Definitions): Promise<Tools> {
  const stores = await openAddresses(config)
  try {
    const address = stores.addressOf('queue')
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
    if (redis.status !== 'ready') await new Promise((resolve) => redis.once('ready', resolve))
    return {
      bull,
      enqueue: producer.enqueue,
      close: async () => {
        await producer.stop()
        await Promise.all([...bull.values()].map((queue) => queue.close()))
        await disconnect(redis)
        await stores.close()
      },
    }
  } catch (error) {
    await stores.close()
    throw error
  }
}
