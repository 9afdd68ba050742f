import type { Config, StoreAddress } from '../config.ts'
import type { Services } from '../define/services.ts'
import type { Limiter } from '../limits/limiter.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { type CacheServices, startCache } from './cache.ts'
import type { Run } from './life.ts'

/** What handlers use beside the queue: for each tenant its own. */
export type ServicesOf = (tenant: string | undefined) => Services

/** With what pages and tools ask of the same. */
export type Started = CacheServices & { readonly of: ServicesOf }

/** A part that is not there says so when it is used, and not before. */
function missing(name: string): never {
  return new Proxy(
    {},
    {
      get: () => () => {
        throw new Error(`${name} is not there yet`)
      },
    },
  ) as never
}

/** Opens what the services need, in the order in which they need each other. */
export async function startServices(
  run: Run,
  options: {
    config: Config
    /** Of the cache store. */
    address: StoreAddress
    log: Logger
    metrics: Metrics
    now: (() => number) | undefined
    limiter: Limiter
  },
): Promise<Started> {
  const { cache, breakers } = await startCache(run, options)
  return {
    cache,
    breakers,
    of: (tenant) => ({
      cache: cache.of(tenant),
      sessions: missing('sessions'),
      limits: options.limiter.of(tenant),
      publish: missing('publish'),
      breakers,
    }),
  }
}
