import type { Redis } from 'ioredis'
import type { Config } from './config.ts'
import type { Enqueue } from './define/worker.ts'
import { createDeliver, type Deliver, quarantineOf } from './ingest/deliver.ts'
import { type BullQueue, openQueues } from './jobs/bull.ts'
import { createDesk, type Desk } from './jobs/desk.ts'
import { Inbox } from './jobs/inbox.ts'
import { Producer } from './jobs/producer.ts'
import { Redriver } from './jobs/redriver.ts'
import { StoreWatch } from './jobs/store-watch.ts'
import { createWaitFor, type WaitFor, Waits } from './jobs/wait-for.ts'
import type { Definitions } from './load.ts'
import { createLogger } from './observe/log.ts'
import { createMetrics } from './observe/metrics.ts'
import { checkStore, connect, disconnect, untilReady } from './redis/store.ts'
import { Stores } from './redis/stores.ts'

export type Tools = {
  readonly bull: ReadonlyMap<string, BullQueue>
  readonly enqueue: Enqueue
  /** Puts an accepted event through routing. */
  readonly deliver: Deliver
  readonly redis: Redis
  /** What engineers do to jobs and queues. */
  readonly desk: Desk
  /** Works on a redrive until it is over, unless a server does. */
  readonly runRedrive: (token: string) => Promise<void>
  readonly waitFor: WaitFor
  /** Key of the inbox stream. */
  readonly inboxKey: string
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
    const inbox = new Inbox({
      ...config.inbox,
      redis,
      prefix: config.keyPrefix,
      isTight: () => false,
      log: createLogger({ logLevel: 'silent', logFormat: 'json' }),
    })
    const metrics = createMetrics()
    const watch = new StoreWatch({ redis, store: 'queue', watermark: config.memoryWatermark, metrics })
    await watch.start()
    const producer = new Producer({
      redis,
      queues,
      bull,
      prefix: config.keyPrefix,
      durability: config.durability,
      ackDeadlineMs: config.ackDeadlineMs,
      metrics,
      inbox: config.inbox.limit > 0 ? inbox : undefined,
      // A tool's work is wanted: only a store that is full keeps it back.
      shedder: { isFull: watch.refusal, isOver: () => undefined },
    })
    const prefix = config.keyPrefix
    const log = createLogger({ logLevel: 'silent', logFormat: 'json' })
    const redriver = new Redriver({ redis, bull, prefix, log })
    const waits = new Waits(() => connect(address, 'consumer', config))
    await untilReady(redis)
    return {
      bull,
      desk: createDesk({ ...config, prefix, bull, log, run: () => {} }),
      runRedrive: (token) => redriver.run(token),
      waitFor: createWaitFor(bull, waits),
      enqueue: producer.enqueue,
      deliver: createDeliver({
        queues,
        quarantine: quarantineOf(queues),
        enqueueEvent: producer.enqueueEvent,
        revive: producer.revive,
      }),
      redis,
      inboxKey: inbox.key,
      close: async () => {
        await waits.stop()
        await redriver.stop()
        await watch.stop()
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
