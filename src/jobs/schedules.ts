import { createHash } from 'node:crypto'
import type { Job as BullJob } from 'bullmq'
import type { Redis } from 'ioredis'
import { formatDuration } from '../define/duration.ts'
import type { SchedulePolicy } from '../define/queue/schedule.ts'
import type { AnyQueue } from '../define/queue.ts'
import { validate } from '../define/schema.ts'
import { MillraceError, messageOf } from '../errors.ts'
import { type BullQueue, bullJobOptions, type JobMeta, metaOf, withVersion } from './bull.ts'
import { encode } from './codec.ts'
import { placeOf } from './gate/place.ts'
import { schedulePrefix, schedulerId } from './schedule-id.ts'

/*
 * Schedules as they stand in the store: BullMQ's job schedulers, of which the run that comes next is always there as a
 * delayed job. Whoever takes that one plans the following one, in the script that knows whether it is there already.
 */

/** When each schedule of a queue last started a run: id → JSON. For looking at; kept as long as the queue. */
const runsKey = (queue: BullQueue) => queue.toKey('schedule-runs')

export type ScheduleSummary = {
  readonly id: string
  readonly cron?: string
  /** Milliseconds. */
  readonly every?: number
  readonly tz: string
  /** When the next run is due; in the past where no worker has taken it yet. Null when none is planned. */
  readonly next: string | null
  /** When the last run was started. */
  readonly last?: string
  readonly lastJob?: string
}

/** What BullMQ has of one of our schedules. */
export type StoredSchedule = {
  readonly id: string
  /** Milliseconds; undefined when no run is planned. */
  readonly next: number | undefined
  readonly pattern: string | undefined
  readonly every: number | undefined
  readonly tz: string | undefined
  /** The definition it was made from. */
  readonly plan: string | undefined
}

export async function storedSchedules(queue: BullQueue): Promise<StoredSchedule[]> {
  const all = await queue.redis.zrange(queue.toKey('repeat'), '0', '-1')
  const ours = all.filter((id) => id.startsWith(schedulePrefix)).map((id) => id.slice(schedulePrefix.length))
  return Promise.all(ours.map((id) => storedSchedule(queue, id)))
}

export async function storedSchedule(queue: BullQueue, id: string): Promise<StoredSchedule> {
  const key = schedulerId(id)
  const [next, [pattern, every, tz, opts]] = await Promise.all([
    queue.redis.zscore(queue.toKey('repeat'), key),
    queue.redis.hmget(queue.toKey(`repeat:${key}`), 'pattern', 'every', 'tz', 'opts'),
  ])
  return {
    id,
    next: next === null ? undefined : Number(next),
    pattern: pattern ?? undefined,
    every: every ? Number(every) : undefined,
    tz: tz ?? undefined,
    plan: opts ? (JSON.parse(opts) as { meta?: JobMeta }).meta?.plan : undefined,
  }
}

/** A queue's schedules, the next due first. */
export async function listSchedules(queue: BullQueue): Promise<ScheduleSummary[]> {
  const [stored, runs] = await Promise.all([storedSchedules(queue), queue.redis.hgetall(runsKey(queue))])
  const iso = (ms: number) => new Date(ms).toISOString()
  return stored.map(({ id, next, pattern, every, tz = 'UTC' }) => {
    const run = runs[id] === undefined ? undefined : (JSON.parse(runs[id]) as { at: number; job: string })
    return {
      id,
      ...(pattern === undefined ? {} : { cron: pattern }),
      ...(every === undefined ? {} : { every }),
      tz,
      next: next === undefined ? null : iso(next),
      ...(run ? { last: iso(run.at), lastJob: run.job } : {}),
    }
  })
}

/** When it comes, for people. */
export function whenOf({ cron, every = 0, tz }: ScheduleSummary): string {
  return cron === undefined ? `every ${formatDuration(every)}` : `${cron} (${tz})`
}

/** Remembers that a scheduled job was started. Not worth a failed attempt when the store does not take it. */
export function noteRun(redis: Redis, queueKey: string, bullJob: BullJob): void {
  const { schedule } = metaOf(bullJob)
  if (schedule === undefined) return
  const run = JSON.stringify({ at: Date.now(), job: bullJob.id })
  redis.hset(`${queueKey}:schedule-runs`, schedule, run).catch(() => {})
}

/** What is stored for the jobs of a schedule: payload and options. */
export function templateOf(queue: AnyQueue, { id, payload, cron, everyMs, tz }: SchedulePolicy) {
  const json = encode(JSON.stringify(payload ?? null))
  const meta: JobMeta = withVersion({ schedule: id, ...placeOf(queue, payload, undefined) }, queue)
  const fixed = { ...bullJobOptions(queue), meta }
  const plan = createHash('sha1')
    .update(JSON.stringify([json, fixed, cron, everyMs, tz]))
    .digest('base64url')
  const opts: ReturnType<typeof bullJobOptions> & { meta: JobMeta } = { ...fixed, meta: { ...fixed.meta, plan } }
  return { data: JSON.parse(json) as unknown, opts, plan }
}

/** Whether each schedule's payload is one that its queue takes. Throws `invalid-definition`, with one line for each that is not. */
export async function checkSchedules(queues: readonly AnyQueue[]): Promise<void> {
  const mistakes: string[] = []
  for (const queue of queues)
    for (const { id, payload } of queue.schedules) {
      const what = `the payload of schedule '${id}'`
      try {
        // As it will be read back: a Date, say, is a text by then.
        await validate(queue.payload, JSON.parse(JSON.stringify(payload ?? null)), what)
        placeOf(queue, payload, undefined)
      } catch (error) {
        const why = messageOf(error)
        mistakes.push(`queues/${queue.name}.ts: ${why.startsWith(what) ? why : `${what}: ${why}`}`)
      }
    }
  if (mistakes.length > 0) throw new MillraceError('invalid-definition', mistakes.join('\n'))
}
