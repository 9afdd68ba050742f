import { UnrecoverableError } from 'bullmq'
import { isDefer, isDrop } from '../define/outcome.ts'
import { messageOf } from '../errors.ts'
import type { Decision, Ended } from '../policy/decide.ts'

/** Whether somebody, or the queue's own terms, decided that the job is dead: no error of the handler's. */
export function isDecision({ kind }: Ended): boolean {
  return kind === 'dropped' || kind === 'expired' || kind === 'cancelled'
}

/** A drop is a decision and no accident: it has a reason, and no stack that would point into our own code. */
export function dropped(reason: string): Error {
  const error = new UnrecoverableError(reason)
  error.stack = ''
  return error
}

/** BullMQ tells its own ways of ending an attempt by these names, also on errors that are not its own. */
const controlNames = ['DelayedError', 'WaitingError', 'WaitingChildrenError', 'RateLimitError']

/** What BullMQ is given to store as the reason of a failed attempt. */
export function errorOf(ended: Ended): Error {
  const error = ended.kind === 'failed' || ended.kind === 'unfit' ? ended.error : undefined
  // BullMQ would store no reason and no stack for anything else.
  if (!(error instanceof Error)) return new Error(`thrown: ${messageOf(error)}`)
  const isControl = controlNames.includes(error.name) || error.message === 'bullmq:rateLimitExceeded'
  return isControl ? new Error(`${error.name}: ${error.message}`, { cause: error }) : error
}

/** The attempt's outcome as metrics and log have it. */
export function outcomeName(ended: Ended, decision: Decision): string {
  if (ended.kind === 'unfit') return 'dead'
  if (ended.kind !== 'failed') return ended.kind
  return decision.do === 'retry' ? 'retried' : 'dead'
}

/** A result is for a look or for one who waits; what is larger belongs into a store of its own, and here it would fill Redis. */
const mostResultBytes = 256 * 1_024

/** What cannot be stored must not undo work that is done: then the job completes without a result. */
export function storable(result: unknown, onLost: (why: string) => void): unknown {
  if (typeof result !== 'object' && typeof result !== 'bigint' && typeof result !== 'string') return result
  // At most six bytes for each of its letters, as JSON.
  if (typeof result === 'string' && result.length * 6 < mostResultBytes) return result
  try {
    const bytes = Buffer.byteLength(JSON.stringify(result) ?? '')
    if (bytes <= mostResultBytes) return result
    onLost(`it has ${Math.ceil(bytes / 1_024)} KB, and ${mostResultBytes / 1_024} KB is the most that is kept`)
  } catch (error) {
    onLost(`it is not JSON: ${messageOf(error)}`)
  }
  return undefined
}

/** Whether an end says that what the handler depends on is broken, or that it is not; undefined when it says neither. */
export function failedOf({ kind }: Ended): boolean | undefined {
  return kind === 'failed' ? true : kind === 'done' ? false : undefined
}

/** What a handler's return value says. */
export function endedBy(result: unknown): Ended {
  if (isDefer(result)) return { kind: 'deferred', ms: result.ms, reason: result.reason }
  return isDrop(result) ? { kind: 'dropped', reason: result.reason } : done
}

const done: Ended = Object.freeze({ kind: 'done' })
