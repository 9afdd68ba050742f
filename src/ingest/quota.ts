import type { Quota } from '../config.ts'
import type { LimitRule, Taken } from '../define/services.ts'
import { MillraceError } from '../errors.ts'
import type { Metrics } from '../observe/metrics.ts'
import { limitHeaders, secondsOf, type TakeLimit } from '../policy/limits.ts'
import type { Source } from './sources.ts'

/** Burst points come back over this time. */
const burstTime = '10s' as const

/** One rule: so many events, and what else may come when they are used up. */
type Rule = {
  readonly name: 'tenant' | 'organization' | 'source'
  readonly rule: LimitRule
  readonly burst: LimitRule | undefined
}

/** How many events a source, and each tenant of it, may send. */
export class Quotas {
  readonly #take: TakeLimit
  readonly #metrics: Metrics

  constructor({ take, metrics }: { take: TakeLimit; metrics: Metrics }) {
    this.#take = take
    this.#metrics = metrics
  }

  /**
   * Counts one event; `ofTenant` is what its organization may send through all sources together. Throws `over-quota` with Retry-After, except for providers that would count it as our failure: their
   * events are taken, and only the metric tells.
   */
  async take(source: Source, tenant: string | undefined, ofTenant?: Quota): Promise<void> {
    // The tenant's first: what is refused to one tenant must not use up what the source has for the others.
    const rules = [
      ...rulesOf('tenant', source.tenantQuota),
      ...rulesOf('organization', ofTenant),
      ...rulesOf('source', source.quota),
    ]
    for (const { name, rule, burst } of rules) {
      const take = (kind: string, one: LimitRule) =>
        // Events that belong to nobody are one tenant's together, or a quota for each would bound none of them.
        this.#take(
          {
            scope: 'source',
            tenant: name === 'source' ? '*' : tenant,
            name: name === 'organization' ? kind : `${kind}:${source.name}`,
          },
          one,
        )
      const taken = await take(name, rule)
      if (taken.ok || (burst && (await take(`${name}-burst`, burst)).ok)) continue
      this.#metrics.eventsOverQuota.inc({ source: source.name })
      if (source.provider.isNeverRefused) return
      throw overQuota(name, rule, taken)
    }
  }
}

function rulesOf(name: Rule['name'], quota: Quota | undefined): readonly Rule[] {
  if (!quota) return []
  const { perSecond, perHour, burst } = quota
  return [
    ...(perSecond === undefined
      ? []
      : [
          {
            name,
            rule: { max: perSecond, per: '1s' as const },
            burst: burst === undefined ? undefined : { max: burst, per: burstTime },
          },
        ]),
    ...(perHour === undefined ? [] : [{ name, rule: { max: perHour, per: '1h' as const }, burst: undefined }]),
  ]
}

function overQuota(name: Rule['name'], rule: LimitRule, taken: Taken): MillraceError {
  return new MillraceError('over-quota', `the ${name}'s quota of ${rule.max} events in ${rule.per} is used up`, {
    retryAfter: secondsOf(taken.retryAfterMs),
    headers: limitHeaders(name, rule, taken),
  })
}
