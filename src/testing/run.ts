import { type Duration, durationMs } from '../define/duration.ts'
import { isDefer, isDrop, type Outcome } from '../define/outcome.ts'
import type { AnyQueue, PayloadInput } from '../define/queue.ts'
import { validate } from '../define/schema.ts'
import type { Services } from '../define/services.ts'
import type { Log, Worker } from '../define/worker.ts'
import { Attempt, AttemptAborted } from '../jobs/attempt.ts'
import { type Call, callHandler, endedByAbort, endedByThrow } from '../jobs/call.ts'
import { encode } from '../jobs/codec.ts'
import { endedBy } from '../jobs/ended.ts'
import { placeOf } from '../jobs/gate/place.ts'
import type { Logger } from '../observe/log.ts'
import { type Decision, decide, type Ended } from '../policy/decide.ts'
import { fakeEnqueue, type Sent } from './enqueue.ts'
import { type FakeServices, kitOf, type Published } from './services.ts'

export type RunOptions = {
  /** Which attempt it is. Default: 1. */
  attempt?: number
  /** Default: 'test-1'. */
  id?: string
  /** The event's type. Default: the queue's name. */
  name?: string
  /** Default: what the queue's `tenant.by` says. */
  tenant?: string
  /** Default: now. */
  enqueuedAt?: Date
  /** The environment variables that the worker declared in `settings`; checked as at a start. Default: none. */
  env?: Readonly<Record<string, string>>
  /**
   * Cache, sessions, limits, publish and breakers: those of a kit that several runs share, or some of the test's own. Default: a new
   * kit in memory.
   */
  services?: FakeServices | Partial<Services>
  /** Instead of the worker's own, so that a test need not wait for it. */
  timeout?: Duration
  /** Aborting it is a shutdown whose deadline has come. */
  shutdown?: AbortSignal
  /** Draws the jitter of a retry, in [0, 1). Default: 0, so that waits are the longest there are and always the same. */
  random?: () => number
}

export type Logged = {
  readonly level: keyof Log
  readonly message: string | undefined
  readonly fields: Readonly<Record<string, unknown>>
}

/** One attempt, and what came of it. */
export type Ran<Result = unknown> = {
  /** `unfit`: the payload does not fit the queue's schema, and the handler was not called. `interrupted`: by a shutdown. `rate-limited`: it threw RateLimited. */
  readonly outcome: Ended['kind']
  /** What the handler returned, when it is done. */
  readonly result: Exclude<Result, Outcome> | undefined
  /** What was thrown. */
  readonly error: unknown
  /** The words given to `defer` or `drop`. */
  readonly reason: string | undefined
  /** What happens to the job: `{ do: 'complete' }`, `{ do: 'retry', inMs }`, `{ do: 'postpone', inMs }` or `{ do: 'bury', reason }`. */
  readonly next: Decision
  readonly attempt: number
  /** Jobs that would be stored: what the handler enqueued, if it is done, and in any case what it enqueued with `enqueue.now`. */
  readonly enqueued: readonly Sent[]
  readonly logs: readonly Logged[]
  /** By this attempt. */
  readonly published: readonly Published[]
  /** What it found in its context, with all that is in there. */
  readonly services: FakeServices
}

/**
 * Runs one attempt as the runner would, with the runner's own parts but without Redis: the payload goes through JSON and the
 * queue's schema, the handler has its timeout and signal, what it enqueues is sent when it is done, and the queue's policy
 * decides what comes next.
 */
export async function runWorker<Q extends AnyQueue, Result>(
  worker: Worker<Q, Result>,
  payload: PayloadInput<Q>,
  options: RunOptions = {},
): Promise<Ran<Result>> {
  const { queue } = worker
  const { attempt: number = 1, random = () => 0, env = {} } = options
  const settings = worker.settings && (await validate(worker.settings, env, 'the settings'))
  const logs: Logged[] = []
  const attempt = new Attempt()
  const enqueue = fakeEnqueue()
  const call: Call = { isUnfit: false, context: undefined }
  const services = kitOf(options.services)
  const publishedBefore = services.published.length
  const context = { queue, log: logInto(logs), enqueue, settings, services: services.of }
  const job = storedJob(queue, payload, options)

  const shutDown = () => attempt.abort(new AttemptAborted('shutdown', 'shutting down'))
  options.shutdown?.addEventListener('abort', shutDown)
  const timeoutMs = options.timeout === undefined ? worker.timeoutMs : durationMs(options.timeout, 'timeout')
  let ended: Ended
  let result: unknown
  try {
    result = await attempt.run(() => callHandler(job, worker, attempt, context, call), timeoutMs)
    ended = endedByAbort(attempt) ?? endedBy(result)
    if (ended.kind === 'done') await call.context?.chain?.send(attempt)
  } catch (error) {
    ended = endedByThrow(error, attempt, call)
  } finally {
    options.shutdown?.removeEventListener('abort', shutDown)
  }
  call.context?.chain?.close()

  return {
    outcome: ended.kind,
    result: ended.kind === 'done' ? (result as Exclude<Result, Outcome>) : undefined,
    error: ended.kind === 'failed' || ended.kind === 'unfit' ? ended.error : undefined,
    reason: isDefer(result) || isDrop(result) ? result.reason : undefined,
    next: decide(ended, number, queue.retry, random),
    attempt: number,
    enqueued: enqueue.all.map((sent) => withoutChainKey(sent, queue)),
    logs,
    published: services.published.slice(publishedBefore),
    services,
  }
}

type StoredJob = Parameters<typeof callHandler>[0]

/** The job as the runner would find it: the part of BullMQ's that it looks at. */
function storedJob(queue: AnyQueue, payload: unknown, options: RunOptions): StoredJob {
  const json = JSON.stringify(payload) ?? 'null'
  const meta = { tenant: options.tenant ?? tenantOf(queue, payload), v: queue.version.current }
  return {
    id: options.id ?? 'test-1',
    name: options.name ?? queue.name,
    data: JSON.parse(encode(json)),
    timestamp: (options.enqueuedAt ?? new Date()).getTime(),
    attemptsMade: (options.attempt ?? 1) - 1,
    opts: { meta },
  } as unknown as StoredJob
}

/** A payload that does not fit has none: that is said when it is checked. */
function tenantOf(queue: AnyQueue, payload: unknown): string | undefined {
  try {
    return placeOf(queue, payload, undefined).tenant
  } catch {
    return undefined
  }
}

function logInto(logs: Logged[]): Logger {
  const writer = (level: keyof Log) => (first: object | string, message?: string) => {
    const fields = typeof first === 'string' ? {} : { ...first }
    logs.push({ level, fields, message: typeof first === 'string' ? first : message })
  }
  const log = { debug: writer('debug'), info: writer('info'), warn: writer('warn'), error: writer('error') }
  return Object.assign(log, { child: () => log }) as unknown as Logger
}

/** The key by which the runner tells a repeated attempt's jobs is not what the handler said. */
function withoutChainKey(sent: Sent, { name }: AnyQueue): Sent {
  const { dedupeKey, dedupeFor, ...options } = sent.options
  return dedupeKey?.startsWith(`chain ${name} `) ? { ...sent, options } : sent
}
