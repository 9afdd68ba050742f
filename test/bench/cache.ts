import { Redis } from 'ioredis'
import { LRUCache } from 'lru-cache'
import { CacheEngine } from '../../src/cache/engine.ts'
import type { View } from '../../src/cache/view.ts'
import { createLogger } from '../../src/observe/log.ts'
import { connect, untilReady } from '../../src/redis/store.ts'
import type { TestRedis } from '../harness/redis.ts'
import type { Comparison } from './report.ts'
import { alternate, type Figures, type Outcome, type Side } from './rounds.ts'
import type { Stage } from './stage.ts'

const entries = 500
/** Hits in a round: a second and less. */
const [hits, fetches, inFlight] = [2_000_000, 40_000, 50]
/** What a tool answers: about 300 bytes of JSON. */
const taskOf = (id: number) => ({
  id,
  title: `Task number ${id} of the quarter`,
  done: id % 2 === 0,
  labels: ['engineering', 'cache', `label-${id % 7}`],
  assignee: { name: 'Ada Lovelace', email: 'ada@example.com' },
  url: `https://example.com/tasks/${id}?view=board&filter=mine`,
})
const keys = Array.from({ length: entries }, (_, id) => `tasks:${id}`)

/** A hit at hand beside lru-cache's, and one in the store beside ioredis' GET. */
export async function compareCache(
  stage: Stage,
  { rounds }: { rounds: number },
  onRun: (side: string, round: number, outcome: Outcome) => void,
): Promise<Comparison> {
  const store = await stage.redis()
  const plain: Side = { name: 'lru-cache, ioredis', run: await plainSide(stage, store) }
  const ours: Side = { name: 'Millrace', run: await ourSide(stage, store) }
  return {
    name: 'cache',
    title: `Cache: ${entries} entries, one caller for hits at hand, ${inFlight} at once for hits in the store`,
    sides: [plain.name, ours.name],
    setting: { entries, hits, fetches, inFlight },
    metrics: [
      { key: 'local', label: 'L1 hits/s, each awaited', digits: 0, aim: { atLeast: 0.5 } },
      { key: 'call', label: 'L1 calls/s, not awaited', digits: 0, aim: { atLeast: 0.5 } },
      { key: 'store', label: 'L2 hits/s, beside GET and parse', digits: 0 },
      // Text that nobody has read yet: how far a hit is from what the connection can do.
      { key: 'raw', label: 'L2 hits/s, beside GET unparsed', digits: 0, aim: { atLeast: 0.8 } },
    ],
    rounds: await alternate({ plain, ours }, rounds, onRun),
  }
}

async function plainSide(stage: Stage, store: TestRedis): Promise<() => Promise<Figures>> {
  const redis = new Redis({ path: store.path })
  stage.atEnd(async () => redis.disconnect())
  const lru = new LRUCache<string, object>({ max: 1_000, ttl: 60_000 })
  for (const [id, key] of keys.entries()) {
    lru.set(key, taskOf(id))
    await redis.set(`plain:${key}`, JSON.stringify(taskOf(id)), 'EX', 3_600)
  }
  const full = keys.map((key) => `plain:${key}`)
  const at = (i: number) => full[i % entries] ?? ''
  return async () => ({
    local: await perSecond(hits, async () => {
      for (let i = 0; i < hits; i++) seen(await lru.get(keys[i % entries] ?? ''))
    }),
    call: await perSecond(hits, async () => {
      for (let i = 0; i < hits; i++) seen(lru.get(keys[i % entries] ?? ''))
    }),
    store: await perSecond(fetches, () => atOnce(async (i) => seen(JSON.parse((await redis.get(at(i))) ?? '')))),
    raw: await perSecond(fetches, () => atOnce(async (i) => seen(await redis.get(at(i))))),
  })
}

async function ourSide(stage: Stage, store: TestRedis): Promise<() => Promise<Figures>> {
  const open = async (items: number): Promise<View> => {
    const address = { path: store.path, db: 0 } as Parameters<typeof connect>[0]
    const [redis, subscriber] = [
      connect(address, 'producer', { timeoutMs: Number.POSITIVE_INFINITY }),
      connect(address, 'consumer'),
    ]
    await Promise.all([untilReady(redis), untilReady(subscriber)])
    const engine = new CacheEngine({
      redis,
      subscriber,
      prefix: 'bench',
      log: createLogger({ logLevel: 'silent', logFormat: 'json' }),
      timeoutMs: 10_000,
      local: { items },
    })
    await engine.start()
    stage.atEnd(async () => {
      await engine.stop()
      redis.disconnect()
      subscriber.disconnect()
    })
    return engine.of('T1')
  }
  const [near, far] = [await open(1_000), await open(0)]
  for (const [id, key] of keys.entries()) await far.set(key, taskOf(id), { ttl: 'hour' })
  const wrong = () => {
    throw new Error('a hit was none')
  }
  const hour = Object.freeze({ ttl: 'hour' } as const)
  const at = (i: number) => keys[i % entries] ?? ''
  return async () => {
    for (const key of keys) await near.getOrCompute(key, wrong, hour)
    const store = await perSecond(fetches, () => atOnce(async (i) => seen(await far.getOrCompute(at(i), wrong, hour))))
    return {
      local: await perSecond(hits, async () => {
        for (let i = 0; i < hits; i++) seen(await near.getOrCompute(at(i), wrong, hour))
      }),
      call: await perSecond(hits, async () => {
        for (let i = 0; i < hits; i++) seen(near.getOrCompute(at(i), wrong, hour))
      }),
      store,
      raw: store,
    }
  }
}

async function perSecond(count: number, run: () => Promise<void>): Promise<number> {
  const began = performance.now()
  await run()
  return count / ((performance.now() - began) / 1_000)
}

async function atOnce(fetch: (i: number) => Promise<void>): Promise<void> {
  let next = 0
  const caller = async () => {
    while (next < fetches) await fetch(next++)
  }
  await Promise.all(Array.from({ length: inFlight }, caller))
}

let last: unknown
/** Or the compiler would see that nobody looks. */
function seen(value: unknown): void {
  if (value === undefined) throw new Error('a hit was none')
  last = value
}
export const lastSeen = () => last
