import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import type { AnyQueue, Queue } from '../../src/define/queue.ts'
import type { EnqueueOptions, Handler } from '../../src/define/worker.ts'
import { defineQueue, defineWorker, type QueueOptions, type WorkerOptions } from '../../src/index.ts'
import { describeJob } from '../../src/jobs/inspect.ts'
import { readWhy, whyField } from '../../src/jobs/why.ts'
import type { Logger } from '../../src/observe/log.ts'
import { startTestApp } from './app.ts'
import { until } from './until.ts'

export const numbered = z.object({ n: z.number() })
export type Numbered = typeof numbered

export type OneQueueOptions = {
  readonly queue?: Partial<QueueOptions<Numbered>>
  readonly worker?: WorkerOptions
  /** Further queues that nobody works on. */
  readonly others?: readonly AnyQueue[]
  readonly env?: Record<string, string>
  readonly log?: Logger
}

/** An App in this process with the queue `work`, whose payload is `{ n }`, its worker, and eyes on what becomes of jobs. */
export async function startOneQueue(
  redisUrl: string,
  handle: Handler<Queue<Numbered>, unknown>,
  options: OneQueueOptions = {},
) {
  const queue = defineQueue({
    name: 'work',
    payload: numbered,
    retry: { attempts: 3, base: '1ms', max: '5ms' },
    ...options.queue,
  })
  const app = await startTestApp(redisUrl, {
    definitions: {
      queues: [queue, quarantine, ...(options.others ?? [])],
      workers: [defineWorker(queue, handle, options.worker)],
      ignored: [],
    },
    env: options.env ?? {},
    ...(options.log ? { log: options.log } : {}),
  })
  const bull = app.bull.get('work')
  if (!bull) throw new Error('no queue')
  const job = (id: string) => describeJob(bull, id)
  return {
    app,
    queue,
    bull,
    enqueue: (n = 1, how: EnqueueOptions = {}) => app.enqueue(queue, { n }, how),
    job,
    /** The job, when it has reached the state. */
    jobIn: (id: string, state: string) =>
      until(async () => {
        const found = await job(id)
        return found.state === state ? found : undefined
      }, `job is ${state}`),
    /** What the job says of why it is not running. */
    why: async (id: string) => readWhy(await bull.redis.hget(bull.toKey(id), whyField)),
    /** When a delayed job comes back, in milliseconds since the epoch. */
    backAt: async (id: string) => Math.floor(Number(await bull.redis.zscore(bull.toKey('delayed'), id)) / 0x1000),
    /** A line of the metrics, without its name and labels. */
    finished: async (outcome: string) => {
      const text = await (await fetch(`${app.url}/metrics`)).text()
      const line = new RegExp(`^millrace_jobs_finished_total\\{queue="work",outcome="${outcome}"\\} (\\d+)$`, 'm')
      return Number(line.exec(text)?.[1] ?? 0)
    },
  }
}

export type OneQueue = Awaited<ReturnType<typeof startOneQueue>>
