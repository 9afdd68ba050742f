import { durationMs, parseDuration } from '../define/duration.ts'
import type { LimitRule, Taken } from '../define/services.ts'
import { MillraceError } from '../errors.ts'

/*
 * What a limit allows. `src/limits/scripts.ts` decides the same inside the store, for all processes together; this is for a
 * process that must decide alone, and a test holds the two against each other. Times are whole microseconds, so that
 * nothing is rounded on the way.
 */

/** A checked rule. */
export type Limit = {
  readonly kind: 'sliding' | 'bucket'
  readonly max: number
  /** µs. */
  readonly window: number
}

/** What one count belongs to. `scope` keeps those who count apart: handlers, sources, the API. */
export type LimitOf = {
  readonly scope: 'handler' | 'api' | 'source' | 'sign-in'
  readonly tenant: string | undefined
  readonly name: string
}

export type TakeLimit = (what: LimitOf, rule: LimitRule) => Promise<Taken>

/** A sliding window remembers the time of each call, 7 bytes in the store: 700 kB for one that is used to the full. */
export const mostSliding = 100_000
/** The time of one call in a bucket is a whole number of µs; with ten of them it is at most a tenth too long. */
const leastInterval = 10
/** Redis takes expiry times far beyond it; nobody waits so long. */
const longestMs = 31 * 86_400_000
const longestName = 200

/** Throws `invalid-definition` with what is wrong: a rule comes from code, and no other call will mend it. */
export function limitOf(name: string, rule: LimitRule): Limit {
  // Only who is refused needs words, and this is asked with every call.
  const where = () => `limit ${JSON.stringify(String(name).slice(0, longestName))}`
  const refuse = (what: string): never => {
    throw new MillraceError('invalid-definition', `${where()}: ${what}`)
  }
  if (typeof name !== 'string' || name === '' || name.length > longestName)
    refuse(`the name must be a text of 1 to ${longestName} characters`)
  if (typeof rule !== 'object' || rule === null) refuse("write a rule such as { max: 100, per: '1m' }")
  const { max, per, kind = 'sliding' } = rule
  if (kind !== 'sliding' && kind !== 'bucket') refuse(`kind is ${JSON.stringify(kind)}; write 'sliding' or 'bucket'`)
  if (!Number.isSafeInteger(max) || max < 1) refuse(`max is ${String(max)}; write a whole number from 1`)
  const ms = (typeof per === 'string' ? parseDuration(per) : undefined) ?? durationMs(per, `${where()}: per`)
  if (ms < 1 || ms > longestMs) refuse(`per is ${JSON.stringify(per)}; write a duration from 1ms to 31d`)
  const limit = { kind, max, window: ms * 1_000 }
  if (kind === 'sliding' && max > mostSliding)
    refuse(`max is ${max}; a sliding window counts to ${mostSliding}: say it for a shorter time, or use kind 'bucket'`)
  if (kind === 'bucket' && intervalOf(limit) < leastInterval)
    refuse(`${max} in ${per} are more than ${1_000_000 / leastInterval} a second, which is the most for a bucket`)
  return limit
}

/** µs after which a bucket has room for one more; rounded up, so that it never gives more than the rule says. */
export function intervalOf({ max, window }: Limit): number {
  return Math.ceil(window / max)
}

/** How a limit stood before some calls that came together, and when the first that it refuses may come again. µs. */
export type Standing = { readonly room: number; readonly retry: number; readonly reset: number }

/** What the nth of these calls is told, from 0. */
export function takenOf({ max }: Limit, { room, retry, reset }: Standing, nth = 0): Taken {
  const ok = nth < room
  return {
    ok,
    limit: max,
    remaining: ok ? room - nth - 1 : 0,
    retryAfterMs: ok ? 0 : Math.ceil(retry / 1_000),
    resetMs: Math.ceil(reset / 1_000),
  }
}

/** One count in the memory of a process. */
export type Count = {
  readonly size: number
  /** Counts some calls that came together, as far as there is room, and says what the first of them is told. */
  take(now: number, calls?: number): Taken
  isSpent(now: number): boolean
}

export function countOf(limit: Limit): Count {
  return limit.kind === 'sliding' ? new SlidingCount(limit) : new BucketCount(limit)
}

class SlidingCount implements Count {
  readonly #limit: Limit
  #times: number[] = []
  /** Times before this place are out of the window, and not cut off yet. */
  #from = 0

  constructor(limit: Limit) {
    this.#limit = limit
  }

  get size(): number {
    return this.#times.length
  }

  take(now: number, calls = 1): Taken {
    const { max, window } = this.#limit
    const { newest } = this
    // After a clock that was set back by more than a window it starts anew; by less, it counts on from the newest call.
    if (this.isSpent(now) || newest - now > window) [this.#times, this.#from] = [[], 0]
    while ((this.#times[this.#from] ?? now) <= now - window) this.#from += 1
    if (this.#from * 2 > this.#times.length) [this.#times, this.#from] = [this.#times.slice(this.#from), 0]
    const room = max - (this.#times.length - this.#from)
    const time = this.#times.length > 0 ? Math.max(now, newest) : now
    for (let i = Math.min(calls, room); i > 0; i--) this.#times.push(time)
    const retry = (this.#times[this.#from] ?? now) + window - now
    return takenOf(this.#limit, { room, retry, reset: this.newest + window - now })
  }

  isSpent(now: number): boolean {
    return this.newest <= now - this.#limit.window
  }

  get newest(): number {
    return this.#times.at(-1) ?? Number.NEGATIVE_INFINITY
  }
}

/** GCRA: one time says it all, the one at which the bucket will be full again. */
class BucketCount implements Count {
  readonly size = 1
  readonly #limit: Limit
  #fullAt = 0

  constructor(limit: Limit) {
    this.#limit = limit
  }

  take(now: number, calls = 1): Taken {
    const interval = intervalOf(this.#limit)
    const depth = interval * this.#limit.max
    // With a clock that was set back it would seem emptier than empty.
    const before = this.#fullAt - now > depth ? 0 : Math.max(this.#fullAt - now, 0)
    const room = Math.floor((depth - before) / interval)
    const after = before + Math.min(calls, room) * interval
    this.#fullAt = now + after
    return takenOf(this.#limit, { room, retry: after + interval - depth, reset: after })
  }

  isSpent(now: number): boolean {
    return this.#fullAt <= now
  }
}

/** Whole seconds, as headers have them, from 1. */
export function secondsOf(ms: number): number {
  return Math.max(1, Math.ceil(ms / 1_000))
}

/** Names and forms after draft-ietf-httpapi-ratelimit-headers-10. `name` is plain text without quotes. */
export function limitHeaders(name: string, { max, per }: LimitRule, taken: Taken): Record<string, string> {
  const seconds = secondsOf(taken.ok ? taken.resetMs : taken.retryAfterMs)
  return {
    'RateLimit-Policy': `"${name}";q=${max};w=${secondsOf(parseDuration(per) ?? 0)}`,
    RateLimit: `"${name}";r=${taken.remaining};t=${seconds}`,
  }
}
