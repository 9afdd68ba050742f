import type { Job as BullJob } from 'bullmq'
import { isRateLimited } from '../define/rate-limited.ts'
import type { AnyWorker, Job } from '../define/worker.ts'
import type { Ended } from '../policy/decide.ts'
import type { Attempt } from './attempt.ts'
import { dueAt, metaOf } from './bull.ts'
import { AttemptContext, type ContextOptions } from './context.ts'
import { inputOf, payloadOf } from './payload.ts'

/** What becomes known while a handler is called. */
export type Call = {
  /** It was not: the stored payload does not fit. */
  isUnfit: boolean
  context: AttemptContext | undefined
}

/** Checks the stored payload and calls the handler with it; asynchronous only if one of the two is. */
export function callHandler(
  bullJob: BullJob,
  worker: AnyWorker,
  attempt: Attempt,
  options: ContextOptions,
  call: Call,
): Promise<unknown> | unknown {
  const refuse = (error: unknown): never => {
    call.isUnfit = true
    throw error
  }
  let payload: unknown
  try {
    payload = payloadOf(bullJob, worker.queue)
  } catch (error) {
    return refuse(error)
  }
  const run = (checked: unknown) => {
    const job: Job<unknown> = {
      id: bullJob.id ?? '',
      payload: checked,
      attempt: bullJob.attemptsMade + 1,
      attempts: worker.queue.retry.attempts,
      name: bullJob.name,
      tenant: metaOf(bullJob).tenant,
      enqueuedAt: new Date(bullJob.repeatJobKey === undefined ? bullJob.timestamp : dueAt(bullJob)),
    }
    call.context = new AttemptContext(attempt, job, options)
    const { isolate } = options
    return isolate
      ? isolate.run({ ...job, payload: inputOf(bullJob, worker.queue) }, call.context)
      : worker.handle(job, call.context)
  }
  return payload instanceof Promise ? payload.then(run, refuse) : run(payload)
}

/**
 * What an attempt whose time was over, or that was called off, comes to. What its handler returns then is not to be trusted:
 * it may have broken off half-way.
 */
export function endedByAbort({ aborted }: Attempt): Ended | undefined {
  if (aborted?.because === 'cancelled') return { kind: 'cancelled', reason: aborted.message }
  return aborted?.because === 'timeout' ? { kind: 'failed', error: aborted } : undefined
}

export function endedByThrow(error: unknown, attempt: Attempt, { isUnfit }: Call): Ended {
  if (attempt.aborted?.because === 'cancelled') return { kind: 'cancelled', reason: attempt.aborted.message }
  if (attempt.aborted?.because === 'shutdown') return { kind: 'interrupted' }
  if (isUnfit) return { kind: 'unfit', error }
  return isRateLimited(error) ? { kind: 'rate-limited', ms: error.ms, key: error.key } : { kind: 'failed', error }
}
