import type { Job as BullJob, JobType } from 'bullmq'
import { MillraceError } from '../errors.ts'
import { readBreaker } from './breaker.ts'
import { type BullQueue, metaOf, stateName } from './bull.ts'
import { decodeOrStored } from './codec.ts'
import { linesOfJob } from './job-log.ts'
import { oldestWaitingSeconds } from './oldest.ts'

/** BullMQ's, but that jobs of a queue with turns, order or keyed limits, which it calls prioritized, are waiting as all others. */
export const jobStates = ['waiting', 'active', 'delayed', 'completed', 'failed', 'waiting-children'] as const
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
  /** As the last process to speak has it. */
  readonly breaker: 'closed' | 'open' | 'half-open'
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
  readonly tenantRate: { readonly max: number; readonly perMs: number } | null
  /** What its jobs wait for besides a free hand: their key's turn, their key's limit, their tenant's turn. */
  readonly gate: 'order' | 'limit' | 'tenant' | null
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
  const [found, pause, oldest, completed, dead, limits, breaker] = await Promise.all([
    queue.getJobCounts('prioritized', ...(jobStates as unknown as JobType[])),
    pauseOf(queue),
    oldestWaitingSeconds(queue),
    lastMinute(queue, 'completed'),
    lastMinute(queue, 'failed'),
    limitsOf(queue),
    queue.redis.get(queue.toKey('breaker')),
  ])
  const counts = Object.fromEntries(jobStates.map((state) => [state, found[state] ?? 0])) as Record<JobState, number>
  return {
    name: queue.name,
    counts: { ...counts, waiting: counts.waiting + (found.prioritized ?? 0) },
    oldestWaitingSeconds: oldest,
    throughputPerMinute: { completed, dead },
    ...pause,
    breaker: readBreaker(breaker)?.state ?? 'closed',
    limits,
  }
}

async function limitsOf(queue: BullQueue): Promise<QueueLimits> {
  const [meta, gate] = await Promise.all([
    queue.redis.hmget(queue.toKey('meta'), 'max', 'duration', 'concurrency', 'limitSet'),
    queue.redis.hmget(queue.toKey('gate'), 'max', 'per', 'concurrency', 'rateMax', 'ratePer', 'kind'),
  ])
  const [max, perMs] = meta[0] ? meta : gate
  const number = (text: string | null | undefined) => (text ? Number(text) : null)
  return {
    rate: max && perMs ? { max: Number(max), perMs: Number(perMs) } : null,
    isByKey: !meta[0] && gate[0] !== null,
    isSet: meta[3] === '1',
    concurrency: number(meta[2]),
    tenantConcurrency: number(gate[2]),
    tenantRate: gate[3] && gate[4] ? { max: Number(gate[3]), perMs: Number(gate[4]) } : null,
    gate: (gate[5] ?? null) as QueueLimits['gate'],
  }
}

/** Whether it is paused, and as far as that is known by whom and since when. */
export async function pauseOf(queue: BullQueue): Promise<Pick<QueueSummary, 'paused' | 'pausedBy' | 'pausedAt'>> {
  const [paused, by = null, at = null] = await queue.redis.hmget(queue.toKey('meta'), 'paused', 'pausedBy', 'pausedAt')
  if (paused === null || paused === undefined) return { paused: false, pausedBy: null, pausedAt: null }
  return { paused: true, pausedBy: by, pausedAt: at === null ? null : new Date(Number(at)).toISOString() }
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
    const page = await pageOf(queue, state, at, wanted)
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

/** A queue has its waiting jobs in the list, or with a gate in the set of prioritized ones; the pages go through both. */
async function pageOf(queue: BullQueue, state: JobState, at: number, count: number): Promise<(BullJob | undefined)[]> {
  const read = async (type: JobType, from: number, wanted: number) =>
    (await queue.getJobs([type], from, from + wanted - 1, false)) as (BullJob | undefined)[]
  const first = await read(state, at, count)
  if (state !== 'waiting' || first.length === count) return first
  const before = await queue.redis.llen(queue.toKey('wait'))
  return [...first, ...(await read('prioritized', Math.max(0, at - before), count - first.length))]
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
  const [state, { logs }] = await Promise.all([queue.getJobState(id), queue.getJobLogs(id, 0, linesOfJob - 1)])
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
    state: stateName(state),
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
