import { keys } from '../redis/keys.ts'
import { room } from '../redis/room.ts'
import type { CacheEngine } from './engine.ts'
import { summaryOf, tallyFrom } from './stats.ts'

const askMs = 1_000

/** What the cache did for a tenant, or for all: in all processes together, or in this one where the store does not tell. */
export async function reportOf(engine: CacheEngine, tenant: string | undefined) {
  const { core } = engine
  const own = tenant === undefined ? '*' : room(tenant)
  // What this process has counted is told first, so that who looks finds what was just done.
  await engine.flush().catch(() => {})
  const stored = await core.store
    .ask((redis) => redis.hgetall(keys.cacheStats(core.prefix) + own), askMs)
    .catch(() => undefined)
  const tally = stored ? tallyFrom(stored) : core.stats.own(tenant === undefined ? undefined : own)
  const report = {
    of: tenant ?? null,
    /** Counted since the first use, or since it was last unused for a day. */
    counted: stored ? ('all processes' as const) : ('this process' as const),
    ...summaryOf(tally),
    lastWarmedAt: stored?.lastWarmedAt ? new Date(Number(stored.lastWarmedAt)).toISOString() : null,
  }
  if (tenant !== undefined) return report
  return {
    ...report,
    local: { items: core.local.size, bytes: core.local.bytes },
    store: { breaker: core.store.circuit.stateAt(core.now()), ...(await storeFacts(engine)) },
  }
}

/** Of the whole store: sessions, limits and messages are in it as well. */
async function storeFacts({ core }: CacheEngine) {
  const info = await core.store.ask((redis) => redis.info(), askMs).catch(() => undefined)
  if (info === undefined) return {}
  const field = (name: string) => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(info)?.[1] ?? 0)
  return {
    usedMemory: field('used_memory'),
    maxMemory: field('maxmemory'),
    evictedKeys: field('evicted_keys'),
    expiredKeys: field('expired_keys'),
  }
}
