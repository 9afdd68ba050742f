import { MillraceError } from '../errors.ts'
import { type Duration, durationMs } from './duration.ts'
import type { Outcome } from './outcome.ts'
import type { AnyQueue, PayloadInput, PayloadOutput } from './queue.ts'
import type { AnySchema, OutputOf, Schema } from './schema.ts'
import type { Services } from './services.ts'

/** One attempt at one job, as the handler sees it. */
export type Job<Payload> = {
  readonly id: string
  /** The schema's output: defaults filled in, transforms applied. */
  readonly payload: Payload
  /** 1 for the first attempt. Deferred and interrupted runs do not count. */
  readonly attempt: number
  /** Attempts that the queue allows in all. */
  readonly attempts: number
  /** The event's type (`app_mention`), or the queue's name for jobs enqueued directly. */
  readonly name: string
  /** Whose job this is; undefined when the source or producer named nobody. */
  readonly tenant: string | undefined
  /** When it was stored; for a run of a schedule, when it was due. */
  readonly enqueuedAt: Date
}

/** What a handler works with. */
export type Context<Settings = unknown> = Services & {
  /** Aborts on timeout, cancellation, lost lock and shutdown. Pass it to everything that takes one. */
  readonly signal: AbortSignal
  /** Writes lines that carry the queue, the job and the attempt. */
  readonly log: Log
  /** Stores further jobs when, and only when, this attempt succeeds. */
  readonly enqueue: ChainEnqueue
  /** The environment variables that the worker declared, checked at boot. */
  readonly settings: Settings
}

export type Enqueue = <Q extends AnyQueue>(
  queue: Q,
  payload: PayloadInput<Q>,
  options?: EnqueueOptions,
) => Promise<Enqueued>

/**
 * `enqueue` within a handler is part of the attempt: checked at once, so that a wrong payload throws here, and stored
 * when the handler has succeeded, just before its job is completed. An attempt that fails, is deferred or dropped stores nothing.
 * Resolves at once and with nothing: which job it becomes is known only then. When the attempt is repeated nevertheless (a
 * crash in between), the n-th job for a queue is the same job as before, unless `dedupeKey` or that queue's `dedupe` says otherwise.
 */
export type ChainEnqueue = {
  <Q extends AnyQueue>(queue: Q, payload: PayloadInput<Q>, options?: EnqueueOptions): Promise<void>
  /** Stores it now, whatever becomes of the attempt, and again when that is repeated; resolves when it is durable. */
  readonly now: Enqueue
}

export type EnqueueOptions = {
  /**
   * Jobs of this queue with the same key within `dedupeFor` are one job. Takes the place of the queue's own `dedupe`, where its
   * mode is 'once'; in the other modes both hold: a repetition changes nothing, and what is none goes by the mode.
   */
  dedupeKey?: string
  /** How long `dedupeKey` holds. Default: the queue's `dedupe.within` in mode 'once', else '24h'. */
  dedupeFor?: Duration
  tenant?: string
  /** Shown as the job's name. Default: the queue's name. */
  name?: string
  /** Not before this much time has passed; five years at most. In mode 'debounce' the longer of this and `within`. Default: at once. */
  delay?: Duration
  /** Not started later than this after now, with a delay after it is due. Default: the queue's `expires`. */
  expires?: Duration
}

/**
 * `duplicate` is true when the job was there already; `id` is then the first one's. In a queue whose `dedupe.mode` lets a
 * newer job take the place of an older, a job that was stored may be replaced, and its id then names none.
 */
export type Enqueued = { readonly id: string; readonly duplicate: boolean }

/** The four levels a handler may write at, each `(fields, message)` or `(message)`. */
export type Log = Record<'debug' | 'info' | 'warn' | 'error', LogWrite>
type LogWrite = { (fields: object, message?: string): void; (message: string): void }

export type Handler<Q extends AnyQueue, Result, Settings = unknown> = (
  job: Job<PayloadOutput<Q>>,
  context: Context<Settings>,
) => Promise<Result | Outcome> | Result | Outcome

export type WorkerOptions<S extends AnySchema = Schema> = {
  /** Jobs in hand at once in one process. Default: 10. */
  concurrency?: number
  /** Longest attempt: then the signal aborts, and a second later the attempt has failed in any case. Default: '5m'. */
  timeout?: Duration
  /**
   * A schema of an object: the environment variables that the handler needs, e.g. `z.object({ SMTP_URL: z.url() })`. They
   * are checked before anything starts, so that a wrong one stops the start and not the hundredth job. Default: none.
   */
  settings?: S
  /**
   * Run each attempt in a process of its own, which has the declared settings for its environment and nothing else of
   * ours, and is killed when it does not stop in time: for handlers that compute without pause or may crash. Default: false.
   */
  isolate?: boolean
}

/** The function that keeps a queue's promise, and the capacity it is given. Frozen and inert. */
export type Worker<Q extends AnyQueue = AnyQueue, Result = unknown> = {
  readonly kind: 'worker'
  readonly queue: Q
  readonly handle: Handler<Q, Result, never>
  readonly concurrency: number
  readonly timeoutMs: number
  readonly settings: AnySchema | undefined
  readonly isolate: boolean
}

// biome-ignore lint/suspicious/noExplicitAny: a worker of some queue, for code that carries workers about
export type AnyWorker = Worker<any, unknown>

const known = ['concurrency', 'timeout', 'settings', 'isolate']

/** Declares the worker of a queue. Opens nothing. Throws `invalid-definition` with the option and what is allowed. */
export function defineWorker<Q extends AnyQueue, Result, S extends AnySchema = Schema>(
  queue: Q,
  handle: Handler<Q, Result, OutputOf<S>>,
  options: WorkerOptions<S> = {},
): Worker<Q, Result> {
  if (queue?.kind !== 'queue')
    throw new MillraceError('invalid-definition', 'defineWorker() needs a queue made by defineQueue()')
  const at = `worker of '${queue.name}'`
  if (typeof handle !== 'function')
    throw new MillraceError('invalid-definition', `${at}: the handler is not a function`)
  for (const key of Object.keys(options))
    if (!known.includes(key))
      throw new MillraceError('invalid-definition', `${at}: ${key} is not an option: it is none of ${known.join(', ')}`)
  const concurrency = options.concurrency ?? 10
  if (!Number.isInteger(concurrency) || concurrency < 1)
    throw new MillraceError('invalid-definition', `${at}: concurrency ${concurrency} is not a whole number from 1`)
  const timeoutMs = durationMs(options.timeout ?? '5m', `${at}: timeout`)
  // Timers hold 31 bits of milliseconds; more would fire at once.
  if (timeoutMs < 1 || timeoutMs > 2 ** 31 - 1)
    throw new MillraceError('invalid-definition', `${at}: timeout ${options.timeout} is not between 1ms and 24d`)
  if (options.settings !== undefined && typeof options.settings['~standard']?.validate !== 'function')
    throw new MillraceError('invalid-definition', `${at}: settings is not a Standard Schema, such as z.object({…})`)
  const { settings, isolate = false } = options
  if (typeof isolate !== 'boolean') throw new MillraceError('invalid-definition', `${at}: isolate is not true or false`)
  return Object.freeze({ kind: 'worker', queue, handle, concurrency, timeoutMs, settings, isolate })
}
