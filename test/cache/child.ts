import { CacheEngine } from '../../src/cache/engine.ts'
import { createLogger } from '../../src/observe/log.ts'
import { connect, untilReady } from '../../src/redis/store.ts'

/** A process with a cache, told what to do over IPC. Says 'ready', and answers each order with its number. */

const { path, prefix } = JSON.parse(process.argv[2] ?? '{}') as { path: string; prefix: string }
const address = { path, db: 0 } as Parameters<typeof connect>[0]
const redis = connect(address, 'producer', { timeoutMs: Number.POSITIVE_INFINITY })
const subscriber = connect(address, 'consumer')
await Promise.all([untilReady(redis), untilReady(subscriber)])
const engine = new CacheEngine({
  redis,
  subscriber,
  prefix,
  log: createLogger({ logLevel: 'silent', logFormat: 'json' }),
  settings: { lockMs: 1_000 },
  timeoutMs: 10_000,
})
await engine.start()
await subscriber.subscribe(engine.core.told.channel)
const cache = engine.of('T1')

type Order = { readonly n: number; readonly what: string; readonly key: string; readonly times?: number }

process.on('message', ({ n, what, key, times = 1 }: Order) => {
  void obey(what, key, times).then((answer) => process.send?.({ n, answer }))
})

async function obey(what: string, key: string, times: number): Promise<unknown> {
  switch (what) {
    case 'compute': {
      let computed = 0
      const compute = async () => {
        computed++
        await redis.incr(`${prefix}:computed:${key}`)
        // Long enough for every other process to ask meanwhile.
        await new Promise((resolve) => setTimeout(resolve, 200))
        return { by: process.pid }
      }
      const values = await Promise.all(Array.from({ length: times }, () => cache.getOrCompute(key, compute)))
      return { computed, values: [...new Set(values.map(({ by }) => by))] }
    }
    case 'hang':
      void cache.getOrCompute(key, () => {
        process.send?.({ n: -1, answer: 'computing' })
        return new Promise(() => {})
      })
      return 'asked'
    case 'at hand':
      return engine.core.local.size
    case 'forgets': {
      // Looks without a pause, so that what is measured is the message and not the looking.
      while (engine.core.local.size > 0) await new Promise((resolve) => setImmediate(resolve))
      return Date.now()
    }
    default:
      throw new Error(what)
  }
}

process.on('disconnect', () => process.exit(0))
process.send?.({ n: 0, answer: 'ready' })
