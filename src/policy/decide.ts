import type { RetryPolicy } from '../define/queue.ts'
import { MillraceError, messageOf } from '../errors.ts'
import { backoffMs } from './backoff.ts'

/** What an attempt came to. */
export type Ended =
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly error: unknown }
  | { readonly kind: 'deferred'; readonly ms: number }
  | { readonly kind: 'dropped'; readonly reason: string }
  | { readonly kind: 'interrupted' }

/** What happens to the job next. Only `retry` and `bury` use up the attempt. */
export type Decision =
  | { readonly do: 'complete' }
  | { readonly do: 'retry'; readonly inMs: number }
  | { readonly do: 'postpone'; readonly inMs: number }
  | { readonly do: 'bury'; readonly reason: string }

/**
 * The one place where retrying is decided. `attempt` is 1 for the first; deferred and interrupted runs were not counted.
 * An attempt that failed because the stored payload does not fit the schema is buried at once: it would fail each time.
 * So is one that threw BullMQ's UnrecoverableError, which BullMQ would not repeat whatever we say.
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
      return { do: 'bury', reason: ended.reason }
    case 'failed':
      if (ended.error instanceof MillraceError && ended.error.code === 'invalid-payload')
        return { do: 'bury', reason: ended.error.message }
      return attempt >= policy.attempts || isUnrecoverable(ended.error)
        ? { do: 'bury', reason: messageOf(ended.error) }
        : { do: 'retry', inMs: backoffMs(policy, attempt, random) }
  }
}

function isUnrecoverable(error: unknown): boolean {
  return error instanceof Error && error.name === 'UnrecoverableError'
}
