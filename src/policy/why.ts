import type { Ended } from './decide.ts'

/** How the reason of a cancelled job begins, whoever buries it. */
export const cancelledMark = 'cancelled: '
/** And how that of one begins whose place a newer job took while it ran: the same event again must not bring it back. */
export const supersededMark = `${cancelledMark}superseded`

/** Why a job is not running, or never will again, as of its last attempt. `at` and `until` are milliseconds since the epoch. */
export type Why = {
  readonly code: 'backoff' | 'dead' | 'poison' | Exclude<Ended['kind'], 'done' | 'failed'>
  readonly at: number
  readonly until?: number
  readonly error?: string
  /** A handler's words for deferring. */
  readonly reason?: string
  /** Of a rate limit. */
  readonly key?: string
  /** Of the job, when it is newer than the worker; and how often it was put back for that. */
  readonly version?: number
  readonly times?: number
}
