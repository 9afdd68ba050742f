import type { Job as BullJob } from 'bullmq'
import { formatDuration } from '../define/duration.ts'
import type { AnyQueue } from '../define/queue.ts'
import { validate } from '../define/schema.ts'
import { messageOf } from '../errors.ts'
import { dueAt, metaOf } from './bull.ts'
import { decode } from './codec.ts'

/** The stored payload as the handler gets it. Throws, or rejects, for one that will never do. */
export function payloadOf(bullJob: BullJob, queue: AnyQueue): unknown | Promise<unknown> {
  return validate(queue.payload, inputOf(bullJob, queue), `stored payload of job ${bullJob.id}`)
}

/** The stored payload in its current version, as the queue's schema is given it. */
export function inputOf(bullJob: Pick<BullJob, 'data' | 'opts'>, queue: AnyQueue): unknown {
  const stored = decode(bullJob.data)
  const { v = 1 } = metaOf(bullJob)
  return v === queue.version.current ? stored : migrated(stored, v, queue)
}

function migrated(stored: unknown, from: number, queue: AnyQueue): unknown {
  if (!Number.isInteger(from) || from < 1) throw new Error(`the stored version ${JSON.stringify(from)} is none`)
  try {
    return queue.version.migrate(stored, from)
  } catch (error) {
    throw new Error(`migration from version ${from} to ${queue.version.current}: ${messageOf(error)}`, { cause: error })
  }
}

/** The job's version, if it is one that this process does not know yet. */
export function newerVersion(bullJob: BullJob, queue: AnyQueue): number | undefined {
  const { v } = metaOf(bullJob)
  return typeof v === 'number' && v > queue.version.current ? v : undefined
}

/** Why it is too late to start this job; undefined when it is not, or when it has been started before. */
export function expiry(bullJob: BullJob, queue: AnyQueue, now: number): string | undefined {
  const { expires } = metaOf(bullJob)
  if (expires === undefined && queue.expiresMs === undefined) return undefined
  if (bullJob.attemptsStarted > 1 || bullJob.attemptsMade > 0) return undefined
  // A run of a schedule that was planned late was due before it was stored.
  const due = bullJob.opts.prevMillis ?? dueAt(bullJob)
  const until = expires ?? due + (queue.expiresMs ?? 0)
  return now > until ? `expired: not started in time, ${formatDuration(now - until)} too late` : undefined
}
