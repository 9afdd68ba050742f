import { formatDuration, parseDuration } from './duration.ts'
import { retryAfterMs } from './retry-after.ts'

/** When the other side says "too often" and not for how long, or says it in words that nobody can read. */
const fallbackMs = 30_000
/** A job put off for longer would be forgotten by everybody; a wrong clock over there can ask for centuries. */
const mostMs = 30 * 86_400_000

// A symbol, because the class may have been loaded twice, and a name can be given to anything.
const tag: unique symbol = Symbol.for('millrace.rate-limited')

/**
 * Thrown by a handler when somebody else answers "too often": the job runs again after exactly that time, at most 30 days.
 * Uses up no attempt, holds no slot.
 */
export class RateLimited extends Error {
  readonly [tag] = true
  readonly ms: number
  /** Whose limit it is, for the others to wait as well. */
  readonly key: string | undefined

  /**
   * `retryAfter`: seconds as a number, a duration (`'30s'`), or the Retry-After header as it came: seconds or an HTTP-date. What
   * cannot be read, or is not there at all, counts as 30 s.
   */
  constructor(retryAfter: number | string | null | undefined, key?: string) {
    const asked = typeof retryAfter === 'number' ? retryAfter * 1_000 : msOf(retryAfter ?? '')
    const isReadable = asked !== undefined && asked >= 0
    const ms = isReadable ? Math.min(Math.ceil(asked), mostMs) : fallbackMs
    const whose = key === undefined ? '' : ` of ${key}`
    const why = isReadable ? '' : ` (Retry-After ${JSON.stringify(retryAfter ?? null)} is no time)`
    super(`rate limit${whose}: again in ${formatDuration(ms)}${why}`)
    this.name = 'RateLimited'
    this.ms = ms
    this.key = key
  }
}

export function isRateLimited(thrown: unknown): thrown is RateLimited {
  return typeof thrown === 'object' && thrown !== null && (thrown as { [tag]?: unknown })[tag] === true
}

function msOf(text: string): number | undefined {
  return parseDuration(text) ?? retryAfterMs(text, Date.now())
}
