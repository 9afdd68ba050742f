import type { RetryPolicy } from '../define/queue.ts'
import { messageOf } from '../errors.ts'
import { backoffMs } from './backoff.ts'
import { retryFor } from './retry-for.ts'

/** What an attempt came to. */
export type Ended =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly error: unknown }
  /** The stored payload does not fit the queue's schema; the handler was not called. */
  | { readonly kind: 'unfit'; readonly error: unknown }
  /** Past its time before it was first started; the handler was not called. */
  | { readonly kind: 'expired'; readonly reason: string }
  /** Of a newer version than this process knows, put back so many times before; the handler was not called. */
  | { readonly kind: 'newer-version'; readonly version: number; readonly times: number }
  /** Fetched while the queue's breaker lets nothing through; the handler was not called. */
  | { readonly kind: 'breaker-open' }
  | { readonly kind: 'deferred'; readonly ms: number; readonly reason?: string | undefined }
  | { readonly kind: 'rate-limited'; readonly ms: number; readonly key: string | undefined }
  | { readonly kind: 'dropped'; readonly reason: string }
  /** Somebody called it off. */
  | { readonly kind: 'cancelled'; readonly reason: string }
  | { readonly kind: 'interrupted' }

/** What happens to the job next. Only `retry` and `bury` use up the attempt. */
export type Decision =
  | { readonly do: 'complete' }
  | { readonly do: 'retry'; readonly inMs: number }
  /** `holdKey`: others with this key are to wait as long. */
  | { readonly do: 'postpone'; readonly inMs: number; readonly holdKey?: string | undefined }
  | { readonly do: 'bury'; readonly reason: string }

/** How soon after a deployment its jobs run that another process fetched first; and how seldom old processes ask in the end. */
const newer = { baseMs: 5_000, maxMs: 60_000, jitter: 0 }

/** Whoever says "too often" and "again in 0 s" is asked again without end and without a pause otherwise. */
const leastLimitMs = 100

/**
 * The one place where retrying is decided. `attempt` is 1 for the first; deferred and interrupted runs were not counted.
 * A stored payload that does not fit is buried at once: it would not fit the next time either. So is an attempt that threw BullMQ's UnrecoverableError, which BullMQ would not repeat whatever we say.
 */
export function decide(ended: Ended, attempt: number, policy: Readonly<RetryPolicy>, random: () => number): Decision {
  switch (ended.kind) {
    case 'done':
      return { do: 'complete' }
    case 'deferred':
      return { do: 'postpone', inMs: ended.ms }
    case 'rate-limited':
      return { do: 'postpone', inMs: Math.max(leastLimitMs, ended.ms), holdKey: ended.key }
    case 'newer-version':
      return { do: 'postpone', inMs: backoffMs(newer, ended.times + 1, random) }
    case 'interrupted':
    case 'breaker-open':
      return { do: 'postpone', inMs: 0 }
    case 'dropped':
    case 'cancelled':
    case 'expired':
      return { do: 'bury', reason: ended.reason }
    case 'unfit':
      return { do: 'bury', reason: messageOf(ended.error) }
    case 'failed': {
      const own = retryFor(ended.error, policy)
      return own === 'never' || attempt >= own.attempts || isUnrecoverable(ended.error)
        ? { do: 'bury', reason: messageOf(ended.error) }
        : { do: 'retry', inMs: backoffMs(own, attempt, random) }
    }
  }
}

function isUnrecoverable(error: unknown): boolean {
  return error instanceof Error && error.name === 'UnrecoverableError'
}
