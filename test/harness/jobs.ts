import type { App } from '../../src/app.ts'
import type { BullQueue } from '../../src/jobs/bull.ts'
import { decode, decodeText } from '../../src/jobs/codec.ts'
import { type JobState, jobStates } from '../../src/jobs/inspect.ts'
import { until } from './until.ts'

/** What a test asks about a job. */
export type StoredJob = {
  readonly id: string
  readonly name: string
  readonly data: unknown
  readonly failedReason: string | undefined
  readonly attemptsMade: number
  readonly meta: { readonly source?: string; readonly event?: string; readonly tenant?: string }
}

/** All jobs of a queue, in the given states or in any. */
export async function jobsOf(
  app: App,
  queue: string,
  states: readonly (JobState | 'prioritized')[] = ['prioritized', ...jobStates],
): Promise<StoredJob[]> {
  const bull = app.bull.get(queue)
  if (!bull) throw new Error(`there is no queue ${queue}`)
  const jobs = await bull.getJobs([...states])
  return jobs.map(({ id, name, data, failedReason, attemptsMade, opts }) => ({
    id: id ?? '',
    name,
    data: decode(data),
    failedReason,
    attemptsMade,
    meta: (opts as { meta?: StoredJob['meta'] }).meta ?? {},
  }))
}

/** The jobs that an event became. */
export async function jobsOfEvent(app: App, queue: string, event: string): Promise<StoredJob[]> {
  return (await jobsOf(app, queue)).filter(({ meta }) => meta.event === event)
}

/** The one job of an event, when it has reached the state. */
export function jobIn(app: App, queue: string, event: string, state: JobState): Promise<StoredJob> {
  return until(
    async () => (await jobsOf(app, queue, [state])).find(({ meta }) => meta.event === event),
    `the job of ${event} in ${queue} is ${state}`,
  )
}

/** A job's payload as the text that it was stored as, byte for byte. The one place that knows how Redis holds it. */
export async function storedText(bull: BullQueue, jobId: string): Promise<string> {
  const text = await bull.redis.hget(bull.toKey(jobId), 'data')
  if (text === null) throw new Error(`there is no job ${jobId}`)
  return decodeText(text)
}
