import type { RetryPolicy } from '../define/queue.ts'
import { messageOf } from '../errors.ts'
import { backoffMs } from './backoff.ts'

/** What an attempt came to. */
export type Ended =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly error: unknown }
  /** The stored payload does not fit the queue's schema; the handler was not called. */
  | { readonly kind: 'unfit'; readonly error: unknown }
  | { readonly kind: 'deferred'; readonly ms: number }
  | { readonly kind: 'dropped'; readonly reason: string }
  /** Somebody called it off. */
  | { readonly kind: 'cancelled'; readonly reason: string }
  | { readonly kind: 'interrupted' }

/** What happens to the job next. Only `retry` and `bury` use up the attempt. */
export type Decision =
  | { readonly do: 'complete' }
  | { readonly do: 'retry'; readonly inMs: number }
  | { readonly do: 'postpone'; readonly inMs: number }
  | { readonly do: 'bury'; readonly reason: string }

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
    case 'interrupted':
      return { do: 'postpone', inMs: 0 }
    case 'dropped':
    case 'cancelled':
      return { do: 'bury', reason: ended.reason }
    case 'unfit':
      return { do: 'bury', reason: messageOf(ended.error) }
    case 'failed':
      return attempt >= policy.attempts || isUnrecoverable(ended.error)
        ? { do: 'bury', reason: messageOf(ended.error) }
        : { do: 'retry', inMs: backoffMs(policy, attempt, random) }
  }
}

function isUnrecoverable(error: unknown): boolean {
  return error instanceof Error && error.name === 'UnrecoverableError'
}
