import type { Redis } from 'ioredis'
import {
  BurstyRateLimiter,
  type RateLimiterAbstract,
  RateLimiterMemory,
  RateLimiterRedis,
  RateLimiterRes,
} from 'rate-limiter-flexible'
import type { Quota } from '../config.ts'
import { MillraceError } from '../errors.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Source } from './sources.ts'

/** One rule: so many events in so many seconds. */
type Rule = { readonly limiter: Limiter; readonly name: string; readonly events: number; readonly seconds: number }
type Limiter = Pick<RateLimiterAbstract, 'consume'>

/** Longest wait for the store to count one rule; after it this process counts for itself. Somebody waits for the 2xx. */
export const quotaTimeoutMs = 200
const hourSeconds = 3_600
/** Burst points come back over this time. */
const burstSeconds = 10

/**
 * How many events a source, and each tenant of it, may send. Counted in the cache store by all processes together; while
 * that is away, each process counts for itself.
 */
export class Quotas {
  readonly #redis: Redis
  readonly #prefix: string
  readonly #metrics: Metrics
  readonly #rules = new Map<string, readonly Rule[]>()

  constructor({ redis, prefix, metrics }: { redis: Redis; prefix: string; metrics: Metrics }) {
    this.#redis = redis
    this.#prefix = prefix
    this.#metrics = metrics
  }

  /**
   * Counts one event; `ofTenant` is what its organization may send through all sources together. Throws `over-quota` with Retry-After, except for providers that would count it as our failure: their
   * events are taken, and only the metric tells.
   */
  async take(source: Source, tenant: string | undefined, ofTenant?: Quota): Promise<void> {
    // The tenant's first: what is refused to one tenant must not use up what the source has for the others.
    const counts = [
      // Events that belong to nobody are one tenant's together, or a quota for each would bound none of them.
      ...this.#of('tenant', source.tenantQuota).map((rule) => ({ rule, key: `${source.name}:${tenant ?? ''}` })),
      ...this.#of('organization', ofTenant).map((rule) => ({ rule, key: tenant ?? '' })),
      ...this.#of('source', source.quota).map((rule) => ({ rule, key: source.name })),
    ]
    for (const { rule, key } of counts) {
      const over = await overBy(rule.limiter, key)
      if (over === undefined) continue
      this.#metrics.eventsOverQuota.inc({ source: source.name })
      if (source.provider.isNeverRefused) return
      throw overQuota(rule, over)
    }
  }

  /** Made when first asked for: sources come and go with their file. */
  #of(scope: 'source' | 'tenant' | 'organization', quota: Quota | undefined): readonly Rule[] {
    if (!quota) return []
    const key = `${scope}:${JSON.stringify(quota)}`
    let rules = this.#rules.get(key)
    if (!rules) {
      const { perSecond, perHour, burst } = quota
      rules = [
        ...(perSecond === undefined
          ? []
          : [{ limiter: this.#bursty(scope, perSecond, burst), name: scope, events: perSecond, seconds: 1 }]),
        ...(perHour === undefined
          ? []
          : [
              {
                limiter: this.#limiter(scope, perHour, hourSeconds),
                name: scope,
                events: perHour,
                seconds: hourSeconds,
              },
            ]),
      ]
      this.#rules.set(key, rules)
    }
    return rules
  }

  #bursty(scope: string, perSecond: number, burst: number | undefined): Limiter {
    const steady = this.#limiter(scope, perSecond, 1)
    return burst === undefined
      ? steady
      : new BurstyRateLimiter(steady, this.#limiter(`${scope}-burst`, burst, burstSeconds))
  }

  #limiter(scope: string, points: number, duration: number): RateLimiterAbstract {
    const options = { points, duration, keyPrefix: `${this.#prefix}:quota:${scope}:${points}:${duration}` }
    return new RateLimiterRedis({
      ...options,
      storeClient: this.#redis,
      rejectIfRedisNotReady: true,
      insuranceLimiter: new RateLimiterMemory(options),
    })
  }
}

async function overBy(limiter: Limiter, key: string): Promise<RateLimiterRes | undefined> {
  try {
    await limiter.consume(key)
    return undefined
  } catch (error) {
    if (error instanceof RateLimiterRes) return error
    throw error
  }
}

/** Header names and forms after draft-ietf-httpapi-ratelimit-headers-10. */
function overQuota({ name, events, seconds }: Rule, { msBeforeNext }: RateLimiterRes): MillraceError {
  const retryAfter = Math.max(1, Math.ceil(msBeforeNext / 1_000))
  return new MillraceError('over-quota', `the ${name}'s quota of ${events} events in ${seconds} s is used up`, {
    retryAfter,
    headers: {
      'RateLimit-Policy': `"${name}";q=${events};w=${seconds}`,
      RateLimit: `"${name}";r=0;t=${retryAfter}`,
    },
  })
}
