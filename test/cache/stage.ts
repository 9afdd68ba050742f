import { afterAll, afterEach, beforeAll } from 'vitest'
import type { EngineOptions } from '../../src/cache/engine.ts'
import { openCache, type TestCache } from '../harness/cache.ts'
import { keysOf, startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'

/** A cache store for a file of tests, caches on it whose clock the tests move, and their end. */
export function cacheStage({ random }: { random: () => number }) {
  let server: TestRedis | undefined
  const opened: TestCache[] = []
  beforeAll(async () => {
    server = await startRedis({ 'maxmemory-policy': 'allkeys-lru', appendonly: 'no' })
  })
  afterAll(() => server?.stop())
  afterEach(async () => {
    for (const cache of opened.splice(0)) await cache.close()
  })

  const at = {
    /** Milliseconds of the caches' clock. */
    time: 0,
    prefix: '',
    /** Closed after each test. */
    opened,
    get server(): TestRedis {
      if (!server) throw new Error('the store starts with the first test')
      return server
    },
    /** Another process' cache, as far as a process can tell. */
    open: async (options: Partial<EngineOptions> = {}): Promise<TestCache> => {
      const cache = await openCache(at.server, { prefix: at.prefix, now: () => at.time, random, ...options })
      opened.push(cache)
      return cache
    },
    /** The first one on keys of its own. */
    fresh: (options: Partial<EngineOptions> = {}): Promise<TestCache> => {
      at.prefix = freshId('c')
      at.time = 1_800_000_000_000
      return at.open(options)
    },
    /** All keys there are, or those that a pattern names behind the prefix. */
    keysOf: async (pattern = '*'): Promise<string[]> =>
      (await keysOf(at.server.client, `${at.prefix}:${pattern}`)).sort(),
  }
  return at
}
