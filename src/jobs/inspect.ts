import type { Job as BullJob, JobType } from 'bullmq'
import { MillraceError } from '../errors.ts'
import { type BullQueue, dueAt, metaOf } from './bull.ts'
import { decodeOrStored } from './codec.ts'
import { oldestDue } from './gate/view.ts'

export const jobStates = [
  'waiting',
  'active',
  'delayed',
  'prioritized',
  'completed',
  'failed',
  'waiting-children',
] as const
export type JobState = (typeof jobStates)[number]

/** BullMQ reads each job of a page twice; larger pages would keep the store from its work. */
const maxPage = 100
/** A text search looks through at most so many jobs of a state in one call. */
const maxScan = 1_000

export type QueueSummary = {
  readonly name: string
  readonly counts: Readonly<Record<JobState, number>>
  /** Seconds since the oldest waiting job was enqueued; 0 when none waits. */
  readonly oldestWaitingSeconds: number
  /** Jobs that ended in the last 60 s, as far as the keep policy still has them. */
  readonly throughputPerMinute: { readonly completed: number; readonly dead: number }
  readonly paused: boolean
  /** Who paused it and when; null where that is not known. */
  readonly pausedBy: string | null
  readonly pausedAt: string | null
  readonly limits: QueueLimits
}

/** What holds now, wherever it was set; null is no bound. */
export type QueueLimits = {
  /** Starts of the whole queue, or of each key when `isByKey`. */
  readonly rate: { readonly max: number; readonly perMs: number } | null
  readonly isByKey: boolean
  /** Whether the rate was set at run time. */
  readonly isSet: boolean
  readonly concurrency: number | null
  /** Bounds of each tenant that has none of its own. */
  readonly tenantConcurrency: number | null
}

export type JobSummary = {
  readonly id: string
  readonly queue: string
  readonly name: string
  readonly state: string
  readonly tenant: string | null
  readonly event: string | null
  /** The schedule that it is a run of. */
  readonly schedule: string | null
  readonly attemptsMade: number
  readonly attempts: number
  readonly enqueuedAt: string
  readonly startedAt: string | null
  readonly finishedAt: string | null
  readonly reason: string | null
}

export type JobDetail = JobSummary & {
  readonly payload: unknown
  readonly result: unknown
  readonly errors: readonly string[]
  readonly logs: readonly string[]
}

export async function summarizeQueue(queue: BullQueue): Promise<QueueSummary> {
  const [counts, pause, oldest, completed, dead, limits] = await Promise.all([
    queue.getJobCounts(...(jobStates as unknown as JobType[])),
    pauseOf(queue),
    oldestWaitingSeconds(queue),
    lastMinute(queue, 'completed'),
    lastMinute(queue, 'failed'),
    limitsOf(queue),
  ])
  return {
    name: queue.name,
    counts: Object.fromEntries(jobStates.map((state) => [state, counts[state] ?? 0])) as Record<JobState, number>,
    oldestWaitingSeconds: oldest,
    throughputPerMinute: { completed, dead },
    ...pause,
    limits,
  }
}

async function limitsOf(queue: BullQueue): Promise<QueueLimits> {
  const [meta, gate] = await Promise.all([
    queue.redis.hmget(queue.toKey('meta'), 'max', 'duration', 'concurrency', 'limitSet'),
    queue.redis.hmget(queue.toKey('gate'), 'max', 'per', 'concurrency'),
  ])
  const [max, perMs] = meta[0] ? meta : gate
  const number = (text: string | null | undefined) => (text ? Number(text) : null)
  return {
    rate: max && perMs ? { max: Number(max), perMs: Number(perMs) } : null,
    isByKey: !meta[0] && gate[0] !== null,
    isSet: meta[3] === '1',
    concurrency: number(meta[2]),
    tenantConcurrency: number(gate[2]),
  }
}

/** Whether it is paused, and as far as that is known by whom and since when. */
export async function pauseOf(queue: BullQueue): Promise<Pick<QueueSummary, 'paused' | 'pausedBy' | 'pausedAt'>> {
  const [paused, by = null, at = null] = await queue.redis.hmget(queue.toKey('meta'), 'paused', 'pausedBy', 'pausedAt')
  if (paused === null || paused === undefined) return { paused: false, pausedBy: null, pausedAt: null }
  return { paused: true, pausedBy: by, pausedAt: at === null ? null : new Date(Number(at)).toISOString() }
}

async function oldestWaitingSeconds(queue: BullQueue): Promise<number> {
  const [plain, gated] = await Promise.all([oldestInList(queue), oldestDue(queue)])
  const since = Math.min(plain ?? Number.POSITIVE_INFINITY, gated ?? Number.POSITIVE_INFINITY)
  return since === Number.POSITIVE_INFINITY ? 0 : Math.max(0, (Date.now() - since) / 1_000)
}

async function oldestInList(queue: BullQueue): Promise<number | undefined> {
  // Jobs come in on the list's left end and are taken from its right; reading one id is cheap however long it is.
  const id = await queue.redis.lindex(queue.toKey('wait'), -1)
  const [timestamp, opts] = id === null ? [] : await queue.redis.hmget(queue.toKey(id), 'timestamp', 'opts')
  if (!timestamp) return undefined
  return dueAt({ timestamp: Number(timestamp), opts: JSON.parse(opts ?? '{}') as BullJob['opts'] })
}

/** Counted in the sets of finished jobs, because BullMQ's own metrics cost each job 8 % more time in the store (measured). */
async function lastMinute(queue: BullQueue, kind: 'completed' | 'failed'): Promise<number> {
  return queue.redis.zcount(queue.toKey(kind), Date.now() - 60_000, '+inf')
}

/** One page of a state's jobs, newest first; `next` is the cursor of the page after it, undefined at the end. */
export async function listJobs(
  queue: BullQueue,
  {
    state,
    cursor = 0,
    limit = 20,
    tenant,
    name,
    text,
  }: {
    state: JobState
    cursor?: number
    limit?: number
    tenant?: string | undefined
    name?: string | undefined
    text?: string | undefined
  },
): Promise<{ jobs: JobSummary[]; next: number | undefined }> {
  const wanted = Math.min(Math.max(1, limit), maxPage)
  const jobs: JobSummary[] = []
  let at = cursor
  while (jobs.length < wanted && at < cursor + maxScan) {
    const page = (await queue.getJobs([state], at, at + wanted - 1, false)) as (BullJob | undefined)[]
    if (page.length === 0) return { jobs, next: undefined }
    for (const job of page) {
      at += 1
      if (!job || !fits(job, { tenant, name, text })) continue
      jobs.push(summarizeJob(queue, job, state))
      if (jobs.length === wanted) break
    }
  }
  return { jobs, next: at }
}

function fits(
  job: BullJob,
  { tenant, name, text }: { tenant?: string | undefined; name?: string | undefined; text?: string | undefined },
): boolean {
  if (tenant !== undefined && metaOf(job).tenant !== tenant) return false
  if (name !== undefined && job.name !== name) return false
  return (
    text === undefined ||
    job.id === text ||
    `${JSON.stringify(decodeOrStored(job.data))} ${job.failedReason ?? ''}`.includes(text)
  )
}

/** Everything about one job. Throws `unknown-job`; to a caller of one tenant, another's job does not exist. */
export async function describeJob(queue: BullQueue, id: string, tenant?: string): Promise<JobDetail> {
  if (!isJobId(id)) throw unknownJob(queue, id)
  // The state first: a job that ends between the two reads is then shown newer than its state says, not older.
  const [state, { logs }] = await Promise.all([queue.getJobState(id), queue.getJobLogs(id, 0, 99)])
  const job = await queue.getJob(id)
  if (!job || (tenant !== undefined && metaOf(job).tenant !== tenant)) throw unknownJob(queue, id)
  return {
    ...summarizeJob(queue, job, state),
    payload: decodeOrStored(job.data),
    result: job.returnvalue,
    errors: job.stacktrace ?? [],
    logs,
  }
}

/** What BullMQ keeps beside the jobs, under the same kind of key: none of these is an id. */
const besideJobs = new Set(
  'id meta wait paused active completed failed delayed prioritized events marker pc limiter stalled stalled-check repeat waiting-children schedule-runs schedule-turn gate breaker probe dead-groups'.split(
    ' ',
  ),
)

/** With a colon BullMQ itself allows only the runs of a schedule. */
export function isJobId(id: string): boolean {
  return (/^[\w.-]{1,200}$/.test(id) && !besideJobs.has(id)) || /^repeat:[\w.-]+:\d+$/.test(id)
}

export function unknownJob(queue: BullQueue, id: string): MillraceError {
  return new MillraceError('unknown-job', `there is no job ${id.slice(0, 100)} in '${queue.name}'`)
}

function summarizeJob(queue: BullQueue, job: BullJob, state: string): JobSummary {
  const meta = metaOf(job)
  const time = (ms: number | undefined) => (ms ? new Date(ms).toISOString() : null)
  return {
    id: job.id ?? '',
    queue: queue.name,
    name: job.name,
    state,
    tenant: meta.tenant ?? null,
    event: meta.event ?? null,
    schedule: meta.schedule ?? null,
    attemptsMade: job.attemptsMade,
    attempts: job.opts.attempts ?? 1,
    enqueuedAt: new Date(job.timestamp).toISOString(),
    startedAt: time(job.processedOn),
    finishedAt: time(job.finishedOn),
    reason: job.failedReason ?? null,
  }
}
