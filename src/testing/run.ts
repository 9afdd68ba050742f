import { type Duration, durationMs } from '../define/duration.ts'
import { isDefer, isDrop, type Outcome } from '../define/outcome.ts'
import type { AnyQueue, PayloadInput } from '../define/queue.ts'
import { validate } from '../define/schema.ts'
import type { Context, Enqueue, Job, Log, Worker } from '../define/worker.ts'
import { Attempt, AttemptAborted } from '../jobs/attempt.ts'
import { placeOf } from '../jobs/gate/place.ts'
import { type Decision, decide, type Ended } from '../policy/decide.ts'
import { type FakeEnqueue, fakeEnqueue, type Sent } from './enqueue.ts'

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
  /** `unfit`: the payload does not fit the queue's schema, and the handler was not called. `interrupted`: by a shutdown. */
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
  /** Jobs that would be stored now: what the handler enqueued, if it is done; else none. */
  readonly enqueued: readonly Sent[]
  readonly logs: readonly Logged[]
}

/**
 * Runs one attempt as the runner would, without Redis: the payload goes through JSON and the queue's schema, the handler has
 * its timeout and signal, and the queue's policy decides what comes next.
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
  let isFit = false

  const handle = async (): Promise<unknown> => {
    const stored = JSON.parse(JSON.stringify(payload) ?? 'null')
    const checked = await validate(queue.payload, stored, `payload for '${queue.name}'`)
    const { tenant } = placeOf(queue, stored, options.tenant)
    isFit = true
    const job: Job<never> = {
      id: options.id ?? 'test-1',
      payload: checked as never,
      attempt: number,
      attempts: queue.retry.attempts,
      name: options.name ?? queue.name,
      tenant,
      enqueuedAt: options.enqueuedAt ?? new Date(),
    }
    return worker.handle(job as never, contextOf(attempt, logs, enqueue, settings) as never)
  }

  const shutDown = () => attempt.abort(new AttemptAborted('shutdown', 'shutting down'))
  options.shutdown?.addEventListener('abort', shutDown)
  const timeoutMs = options.timeout === undefined ? worker.timeoutMs : durationMs(options.timeout, 'timeout')
  let ended: Ended
  let result: unknown
  try {
    result = await attempt.run(handle, timeoutMs)
    ended =
      attempt.aborted?.because === 'timeout'
        ? { kind: 'failed', error: attempt.aborted }
        : isDefer(result)
          ? { kind: 'deferred', ms: result.ms }
          : isDrop(result)
            ? { kind: 'dropped', reason: result.reason }
            : { kind: 'done' }
  } catch (error) {
    const isInterrupted = attempt.aborted?.because === 'shutdown'
    ended = isInterrupted ? { kind: 'interrupted' } : { kind: isFit ? 'failed' : 'unfit', error }
  } finally {
    options.shutdown?.removeEventListener('abort', shutDown)
  }

  return {
    outcome: ended.kind,
    result: ended.kind === 'done' ? (result as Exclude<Result, Outcome>) : undefined,
    error: ended.kind === 'failed' || ended.kind === 'unfit' ? ended.error : undefined,
    reason: isDefer(result) || isDrop(result) ? result.reason : undefined,
    next: decide(ended, number, queue.retry, random),
    attempt: number,
    enqueued: ended.kind === 'done' ? enqueue.all : [],
    logs,
  }
}

function contextOf(attempt: Attempt, logs: Logged[], enqueue: FakeEnqueue, settings: unknown): Context {
  const writer = (level: keyof Log) => (first: object | string, message?: string) => {
    const fields = typeof first === 'string' ? {} : { ...first }
    logs.push({ level, fields, message: typeof first === 'string' ? first : message })
  }
  return {
    // A getter, as the runner's: most handlers never ask.
    get signal() {
      return attempt.signal
    },
    log: { debug: writer('debug'), info: writer('info'), warn: writer('warn'), error: writer('error') },
    enqueue: enqueue as Enqueue,
    settings,
  }
}
