import { CacheEngine } from '../cache/engine.ts'
import type { Config } from '../config.ts'
import { createLogger } from '../observe/log.ts'
import { checkStore, connect, disconnect, untilReady } from '../redis/store.ts'
import { Stores } from '../redis/stores.ts'

/** A command may wait for longer than a request. */
const patienceMs = 5_000

/** The cache for one command, without anything at hand. Throws as a start would when the store cannot be reached. */
export async function withCache(config: Config, use: (cache: CacheEngine) => Promise<void>): Promise<void> {
  const stores = new Stores(config)
  await stores.start()
  try {
    const address = stores.address('cache')
    await checkStore(address, 'cache', config)
    const redis = connect(address, 'producer', config)
    const subscriber = connect(address, 'consumer', config)
    try {
      await Promise.all([untilReady(redis), untilReady(subscriber)])
      const log = createLogger({ logLevel: 'silent', logFormat: 'json' })
      const prefix = config.keyPrefix
      const cache = new CacheEngine({ redis, subscriber, prefix, log, local: { items: 0 }, timeoutMs: patienceMs })
      await use(cache)
      await cache.stop()
    } finally {
      await Promise.all([disconnect(redis), disconnect(subscriber)])
    }
  } finally {
    await stores.stop()
  }
}
