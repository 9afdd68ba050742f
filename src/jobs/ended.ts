import { UnrecoverableError } from 'bullmq'
import { messageOf } from '../errors.ts'
import type { Decision, Ended } from '../policy/decide.ts'

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

/** What cannot be stored must not undo work that is done: then the job completes without a result. */
export function storable(result: unknown, onLost: (error: unknown) => void): unknown {
  if (typeof result !== 'object' && typeof result !== 'bigint') return result
  try {
    JSON.stringify(result)
    return result
  } catch (error) {
    onLost(error)
    return undefined
  }
}
