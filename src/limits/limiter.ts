import type { Redis } from 'ioredis'
import type { LimitRule, Limits, Taken } from '../define/services.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { type Limit, type LimitOf, limitOf } from '../policy/limits.ts'
import { keys } from '../redis/keys.ts'
import { LimitBatch, type LimitBatchOptions } from './batch.ts'
import { MemoryCounts } from './memory.ts'

/** Longest wait for the store; after it this process decides. Somebody waits for each answer. */
const defaultPatienceMs = 50
/** For so long after a failure nobody asks the store; then one does. */
const restMs = 1_000
/** When a command that hangs is given up for good; nobody waits for it any more. */
export const limitTimeoutMs = 1_000

export type LimiterOptions = {
  /** To the cache store. Must fail at once while that is away, and hold nothing back for later. */
  readonly redis: LimitBatchOptions['redis']
  readonly prefix: string
  readonly log: Logger
  readonly metrics: Metrics
  /** ms; the clock of this process, for what it decides alone. */
  readonly now?: () => number
  readonly patienceMs?: number | undefined
}

/**
 * Counts calls against limits: in the cache store for all processes together, in one round trip; while that is away or slow,
 * in this process, by the same rules. It never fails but for a rule that is none.
 */
export class Limiter {
  readonly #redis: Redis
  readonly #batch: LimitBatch
  readonly #prefix: string
  readonly #log: Logger
  readonly #metrics: Metrics
  readonly #now: () => number
  readonly #memory = new MemoryCounts()
  /** While this process decides alone: the time of the next call that asks the store. */
  #askAt: number | undefined

  constructor({ redis, prefix, log, metrics, now = Date.now, patienceMs = defaultPatienceMs }: LimiterOptions) {
    this.#redis = redis
    this.#batch = new LimitBatch({
      redis,
      patienceMs,
      // So that whoever must decide alone later knows what he has let pass.
      onPassed: (key, limit, calls) => this.#alone(key, limit, calls),
      onAnswer: () => this.#together(),
      onFailure: (error) => this.#apart(error),
      alone: (key, limit) => this.#alone(key, limit),
    })
    this.#prefix = prefix
    this.#log = log
    this.#metrics = metrics
    this.#now = now
  }

  /** What handlers of a tenant's jobs are given. */
  of(tenant: string | undefined): Limits {
    return { take: (name, rule) => this.take({ scope: 'handler', tenant, name }, rule) }
  }

  /** Rejects with `invalid-definition` for a rule that is none. */
  readonly take = ({ scope, tenant, name }: LimitOf, rule: LimitRule): Promise<Taken> => {
    let limit: Limit
    try {
      limit = limitOf(name, rule)
    } catch (error) {
      return Promise.reject(error)
    }
    const key = this.#keyOf({ scope, tenant, name }, limit)
    if (this.#askAt !== undefined) {
      const now = this.#now()
      // Further away than a rest is only after a clock was set back.
      if (now < this.#askAt && this.#askAt <= now + restMs) return Promise.resolve(this.#alone(key, limit))
      // The others go on without it until this one knows.
      this.#askAt = now + restMs
    }
    return this.#batch.take(key, limit)
  }

  /** What was counted is forgotten, as far as the store is there. */
  readonly forget = async (what: LimitOf, rule: LimitRule): Promise<void> => {
    const key = this.#keyOf(what, limitOf(what.name, rule))
    this.#memory.delete(key)
    if (this.#askAt === undefined) await this.#redis.unlink(key).catch(() => {})
  }

  #keyOf({ scope, tenant, name }: LimitOf, { kind, max, window }: Limit): string {
    return keys.limit(this.#prefix, scope, tenant, name, `${kind}-${max}-${window / 1_000}`)
  }

  #alone(key: string, limit: Limit, calls = 1): Taken {
    return this.#memory.take(key, limit, Math.round(this.#now() * 1_000), calls)
  }

  #apart(error: unknown): void {
    const isNew = this.#askAt === undefined
    this.#askAt = this.#now() + restMs
    this.#metrics.limitsFallback.set(1)
    if (isNew) this.#log.warn({ err: error }, 'limits: the store does not count; this process counts for itself')
  }

  #together(): void {
    if (this.#askAt === undefined) return
    this.#askAt = undefined
    this.#metrics.limitsFallback.set(0)
    this.#log.info('limits: the store counts again')
  }
}
