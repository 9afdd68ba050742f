import { CacheEngine, type EngineOptions } from '../../src/cache/engine.ts'
import { createLogger } from '../../src/observe/log.ts'
import { connect, untilReady } from '../../src/redis/store.ts'
import type { TestRedis } from './redis.ts'
import { freshId } from './slack.ts'

export type TestCache = CacheEngine & { close(): Promise<void> }

/**
 * The cache as a process has it, with connections of its own. Patient by default: a test of what is stored must not fail
 * because the machine is busy. `prefix` is a fresh one unless given.
 */
export async function openCache(server: TestRedis, options: Partial<EngineOptions> = {}): Promise<TestCache> {
  const address = { path: server.path, db: 0 } as Parameters<typeof connect>[0]
  const redis = connect(address, 'producer', { timeoutMs: Number.POSITIVE_INFINITY })
  const subscriber = connect(address, 'consumer')
  await Promise.all([untilReady(redis), untilReady(subscriber)])
  const engine = new CacheEngine({
    redis,
    subscriber,
    prefix: freshId('c'),
    log: createLogger({ logLevel: 'silent', logFormat: 'json' }),
    timeoutMs: 10_000,
    ...options,
  })
  await engine.start()
  // Listening: from here on nothing said is missed.
  await subscriber.subscribe(engine.core.told.channel)
  return Object.assign(engine, {
    close: async () => {
      await engine.stop()
      redis.disconnect()
      subscriber.disconnect()
    },
  })
}
