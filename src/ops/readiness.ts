import type { Durability } from '../config.ts'
import type { Runner } from '../jobs/runner.ts'
import type { StoreWatch } from '../jobs/store-watch.ts'
import type { Check } from '../observe/check.ts'
import { durabilityOf, type StoreFacts } from '../redis/store.ts'

/** Every check by name. Pure over what the watches saw last, so that asking often costs the store nothing. */
export function readiness({
  queueStore,
  cacheStore,
  durability,
  runners,
  stopping,
}: {
  queueStore: StoreWatch
  cacheStore: StoreWatch
  durability: Durability
  runners: readonly Runner[]
  stopping: boolean
}): Check[] {
  const { facts, error } = queueStore.seen
  const checks: Check[] = [
    error === undefined
      ? { name: 'store', state: 'ok', detail: `Redis ${facts?.version}` }
      : { name: 'store', state: 'fail', detail: error },
  ]
  if (facts)
    checks.push(writable(facts, error), ...(error === undefined ? settled(queueStore, facts, durability) : unknowns))
  for (const runner of runners) {
    const { ok, detail } = runner.health()
    checks.push({ name: runner.name.replace(' ', ':'), state: ok ? 'ok' : 'fail', detail })
  }
  const cache = cacheStore.seen
  checks.push(
    cache.error === undefined
      ? { name: 'cache', state: 'ok', detail: `Redis ${cache.facts?.version}` }
      : { name: 'cache', state: 'warn', detail: `${cache.error}; nobody can sign in to the dashboard` },
  )
  if (stopping) checks.push({ name: 'stopping', state: 'fail', detail: 'this process is shutting down' })
  return checks
}

/** What was true before it fell silent says nothing about now. */
const unknowns: readonly Check[] = ['policy', 'memory', 'durability'].map((name) => ({
  name,
  state: 'warn',
  detail: 'not known while the store does not answer',
}))

function settled(queueStore: StoreWatch, facts: StoreFacts, durability: Durability): Check[] {
  const kept = durabilityOf(facts, durability)
  const full = queueStore.refusal()
  return [
    facts.policy === 'noeviction'
      ? { name: 'policy', state: 'ok', detail: 'noeviction' }
      : {
          name: 'policy',
          state: 'fail',
          detail: `${facts.policy} drops jobs; redis-cli CONFIG SET maxmemory-policy noeviction`,
        },
    {
      name: 'memory',
      state: full !== undefined ? 'fail' : facts.maxMemory > 0 ? 'ok' : 'warn',
      detail: full ?? memoryDetail(queueStore, facts.maxMemory),
    },
    { name: 'durability', state: kept.kept ? 'ok' : 'warn', detail: kept.detail },
  ]
}

function writable(facts: StoreFacts, error: string | undefined): Check {
  const trouble =
    error ??
    (facts.isReplica ? 'the store is a read-only replica; point REDIS_URL at the master' : undefined) ??
    (facts.lastWriteFailed ? 'the last write to the append-only file failed; is the disk full?' : undefined)
  return { name: 'writable', state: trouble === undefined ? 'ok' : 'fail', detail: trouble ?? 'writes are accepted' }
}

function memoryDetail(watch: StoreWatch, maxMemory: number): string {
  return maxMemory > 0
    ? `${Math.round(watch.memoryRatio * 100)} % of ${Math.round(maxMemory / 1024 ** 2)} MB`
    : 'no maxmemory is set; the store grows until the machine is full'
}
