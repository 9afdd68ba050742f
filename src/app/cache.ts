import type { Redis } from 'ioredis'
import { CacheEngine } from '../cache/engine.ts'
import { reportOf } from '../cache/report.ts'
import type { Config, StoreAddress } from '../config.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { type BreakerView, CallBreakers } from '../outbound/breakers.ts'
import type { CircuitState } from '../policy/circuit.ts'
import { connect, disconnect } from '../redis/store.ts'
import type { Run } from './life.ts'

/** The circuit around the cache store, among the breakers. */
export const storeBreaker = 'cache-store'
const levels: Readonly<Record<CircuitState, number>> = { closed: 0, 'half-open': 1, open: 2 }
/** More names than anybody writes into code say nothing in a metric. */
const maxNames = 100

export type CacheServices = { readonly cache: CacheEngine; readonly breakers: CallBreakers }

/** The cache and the breakers of this process. Waits for no store: without one values are computed. */
export async function startCache(
  run: Run,
  {
    config,
    address,
    log,
    metrics,
    now,
  }: { config: Config; address: StoreAddress; log: Logger; metrics: Metrics; now: (() => number) | undefined },
): Promise<CacheServices> {
  const open = async (purpose: 'producer' | 'consumer'): Promise<Redis> => {
    // The circuit says it once when the store goes and once when it comes back.
    const { connectTimeoutMs } = config
    const redis = connect(address, purpose, { connectTimeoutMs, timeoutMs: Number.POSITIVE_INFINITY })
    await run({ name: `cache ${purpose} connection`, stop: () => disconnect(redis) })
    return redis
  }
  const names = new Set<string>()
  const show = (name: string, state: CircuitState | undefined) => {
    if (state === undefined) {
      if (names.delete(name)) metrics.breakerState.remove({ name })
    } else if (names.has(name) || names.size < maxNames) {
      names.add(name)
      metrics.breakerState.set({ name }, levels[state])
    }
  }
  const breakers = new CallBreakers({ log, onState: (name, state) => show(`call:${name}`, state), now })
  const cache: CacheEngine = await run(
    new CacheEngine({
      redis: await open('producer'),
      subscriber: await open('consumer'),
      prefix: config.keyPrefix,
      timeoutMs: config.cacheTimeoutMs,
      log,
      onRequests: (name, result, count) => metrics.cacheRequests.inc({ cache: name, result }, count),
      onCircuit: (state) => show(storeBreaker, state),
      onClose: (name) => {
        if (name === storeBreaker) cache.core.store.circuit.reset()
        breakers.reset(name)
      },
      ...(now ? { now } : {}),
    }),
  )
  show(storeBreaker, 'closed')
  return { cache, breakers }
}

/** For pages: what the cache did, and every breaker of this process. */
export function cachePages({ cache, breakers }: CacheServices) {
  return {
    report: (tenant: string | undefined) => reportOf(cache, tenant),
    breakers: {
      list: () => breakersOf({ cache, breakers }),
      reset: async (name: string) => {
        if (name === storeBreaker) cache.core.store.circuit.reset()
        breakers.reset(name)
        return { told: await cache.tell({ close: name }) }
      },
    },
  }
}

export function breakersOf({ cache, breakers }: CacheServices): BreakerView[] {
  const { circuit } = cache.core.store
  const until = circuit.until === undefined ? undefined : new Date(circuit.until).toISOString()
  const state = circuit.stateAt(cache.core.now())
  return [{ name: storeBreaker, state, failures: circuit.failures, until }, ...breakers.list()]
}
