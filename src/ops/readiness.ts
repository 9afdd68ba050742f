import type { Durability } from '../config.ts'
import type { SpoolStats } from '../ingest/spool.ts'
import type { Runner } from '../jobs/runner.ts'
import type { StoreWatch } from '../jobs/store-watch.ts'
import type { Check } from '../observe/check.ts'
import type { BreakerView } from '../outbound/breakers.ts'
import { durabilityOf, type StoreFacts } from '../redis/store.ts'

/** Every check by name. Pure over what the watches saw last, so that asking often costs the store nothing. */
export function readiness({
  queueStore,
  cacheStore,
  breakers,
  durability,
  runners,
  spool,
  files,
  services,
  stopping,
}: {
  queueStore: StoreWatch
  cacheStore: StoreWatch
  breakers: readonly BreakerView[]
  durability: Durability
  runners: readonly Runner[]
  /** Undefined without the role http. */
  spool: SpoolStats | undefined
  /** What is wrong with SOURCES_FILE and ORGANIZATIONS_FILE as they are now. */
  files: Readonly<Record<'sources' | 'organizations', string | undefined>>
  /** Of what handlers use beside the queue. */
  services: readonly Check[]
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
    breakersCheck(breakers),
  )
  if (spool) checks.push(spoolCheck(spool))
  checks.push(...services)
  for (const [name, trouble] of Object.entries(files))
    if (trouble !== undefined) checks.push({ name, state: 'warn', detail: trouble })
  if (stopping) checks.push({ name: 'stopping', state: 'fail', detail: 'this process is shutting down' })
  return checks
}

/** Share of SPOOL_LIMIT. */
const nearlyFull = 0.8

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

/** A spool that holds events is doing its work; one that can take no more is not. */
export function spoolCheck({ events, bytes, limit, oldestAgeMs, draining, trouble }: SpoolStats): Check {
  const name = 'spool'
  const mb = (size: number) => `${Math.ceil(size / 1024 ** 2)} MB`
  const waiting =
    events === 0
      ? 'empty'
      : `${events === 1 ? '1 event waits' : `${events} events wait`}, the oldest for ${Math.round(oldestAgeMs / 1_000)} s; ${draining ? 'draining' : 'the store does not take them'}`
  if (trouble !== undefined) return { name, state: 'warn', detail: `${waiting}; ${trouble}` }
  if (limit === 0) return { name, state: events > 0 ? 'warn' : 'ok', detail: `off${events > 0 ? `; ${waiting}` : ''}` }
  if (bytes > limit * nearlyFull)
    return { name, state: 'warn', detail: `${waiting}; ${mb(bytes)} of ${mb(limit)} are in use` }
  return { name, state: events > 0 ? 'warn' : 'ok', detail: `${waiting} (room for ${mb(limit)})` }
}

/** A process whose other sides are away is as ready as one can be. */
function breakersCheck(breakers: readonly BreakerView[]): Check {
  const others = breakers.filter(({ state }) => state !== 'closed')
  const detail = others
    .map(({ name, state, until }) => `${name} is ${state}${until ? ` until ${until}` : ''}`)
    .join('; ')
  return { name: 'breakers', state: others.length > 0 ? 'warn' : 'ok', detail: detail || `${breakers.length} closed` }
}

function memoryDetail(watch: StoreWatch, maxMemory: number): string {
  return maxMemory > 0
    ? `${Math.round(watch.memoryRatio * 100)} % of ${Math.round(maxMemory / 1024 ** 2)} MB`
    : 'no maxmemory is set; the store grows until the machine is full'
}
