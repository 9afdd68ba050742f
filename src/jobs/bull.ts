import { createHash } from 'node:crypto'
import { Job as BullJob, type JobProgress, Queue, type QueueOptions } from 'bullmq'
import type { Redis } from 'ioredis'
import type { AnyQueue, KeepPolicy } from '../define/queue.ts'
import { prepareScripts } from './bull-scripts.ts'

/** A retry by whoever works with this view, Bull Board too, gives a job all of its attempts again. */
class FreshlyRetried<
  Data = unknown,
  Result = unknown,
  Name extends string = string,
  Progress extends JobProgress = JobProgress,
> extends BullJob<Data, Result, Name, Progress> {
  override retry(state?: Parameters<BullJob['retry']>[0]): Promise<void> {
    return super.retry(state, { resetAttemptsMade: true, resetAttemptsStarted: true })
  }
}

/** BullMQ's view of a queue, with its connection: BullMQ's own handle on it knows only the commands that BullMQ needs. */
export class BullQueue extends Queue {
  readonly redis: Redis

  constructor(name: string, redis: Redis, options: Omit<QueueOptions, 'connection'>) {
    super(name, { ...options, connection: redis })
    this.redis = redis
  }

  protected override get Job(): typeof BullJob {
    return FreshlyRetried
  }
}

/** Opens BullMQ's view of each queue on one shared connection, for everything but the hot path. */
export function openQueues(queues: readonly AnyQueue[], redis: Redis, prefix: string): Map<string, BullQueue> {
  prepareScripts()
  return new Map(
    queues.map((queue) => {
      const bull = new BullQueue(queue.name, redis, {
        prefix,
        defaultJobOptions: bullJobOptions(queue),
      })
      // Connection errors are logged once by whoever owns the connection; unheard they would end the process.
      bull.on('error', () => {})
      return [queue.name, bull]
    }),
  )
}

/** A state in our words: how a queue keeps its waiting jobs is nobody's business. */
export function stateName(state: string): string {
  return state === 'prioritized' ? 'waiting' : state
}

/** How many jobs of a queue could be taken now: none of one that is paused. */
export function waitingIn(bull: ReadonlyMap<string, BullQueue>): (queue: string) => Promise<number> {
  return async (name) => {
    const queue = bull.get(name)
    if (!queue) return 0
    const [isPaused, plain, ranked] = await Promise.all([
      queue.isPaused(),
      queue.redis.llen(queue.toKey('wait')),
      queue.redis.zcard(queue.toKey('prioritized')),
    ])
    return isPaused ? 0 : plain + ranked
  }
}

/**
 * The queue's retry policy in BullMQ's words and units. It is stored with each job, so that engineers see it and a plain
 * BullMQ worker would honour it; our own runner applies the queue file as it is when the attempt ends. How long finished
 * jobs are kept is not stored with them: it would cost a tenth more of Redis' time for each add, and is the runner's and the
 * janitor's business alone.
 */
export function bullJobOptions(queue: AnyQueue) {
  return {
    attempts: queue.retry.attempts,
    backoff: { type: 'exponential', delay: queue.retry.baseMs, jitter: queue.retry.jitter },
  }
}

/** An event's deduplication id. The dot stands in no source's name, so that no two sources can make the same. */
export function eventKey(source: string, event: string): string {
  return `${source}.${event}`
}

/**
 * A deduplication id of a caller's key, which may be of any length and hold any character. Each tenant has its own: nobody's
 * job may be taken for another tenant's, make room for it, or tell of it.
 */
export function hashedKey(key: string, tenant?: string): string {
  const own = tenant === undefined ? key : JSON.stringify([tenant, key])
  return `key-${createHash('sha256').update(own).digest('base64url')}`
}

/** BullMQ's word for removing no job at all. */
export const keepAll = { count: -1 }

/** BullMQ's KeepJobs counts age in seconds. */
export function bullKeep(keep: Readonly<KeepPolicy>): { age: number; count: number } {
  return { age: Math.ceil(keep.ageMs / 1_000), count: keep.count }
}

/** What Millrace knows of a job beside its payload; kept among the job's options, where BullMQ leaves it alone. */
export type JobMeta = {
  /** Source name and event id, for jobs that came from outside. */
  readonly source?: string
  readonly event?: string
  /** A second deduplication id: the end of its key, after `de:`. */
  readonly alias?: string | undefined
  readonly tenant?: string | undefined
  /** The schedule that it is a run of. */
  readonly schedule?: string
  /** The definition of that schedule, as a hash. */
  readonly plan?: string
  /** Version of the payload; 1 when it is not said. */
  readonly v?: number
  /** Not started later than this, in milliseconds since the epoch; else the queue's own `expires` holds. */
  readonly expires?: number
  /** Whose turns it takes, when that is not the tenant; the key whose order it keeps; the key that it is limited by. */
  readonly group?: string | undefined
  readonly key?: string | undefined
  readonly limit?: string | undefined
}

/** The first version is not said: most queues have no other. */
export function withVersion(meta: JobMeta, { version }: AnyQueue): JobMeta {
  return version.current > 1 ? { ...meta, v: version.current } : meta
}

/**
 * From when on a job waits: it was stored then, or later if it had a delay; a run of a schedule is stored when the one
 * before is taken.
 */
export function dueAt({ timestamp, opts }: Pick<BullJob, 'timestamp' | 'opts'>): number {
  return timestamp + (opts.delay ?? 0)
}

export function metaOf(bullJob: Pick<BullJob, 'opts'>): JobMeta {
  return (bullJob.opts as { meta?: JobMeta }).meta ?? {}
}
