import { MillraceError } from '../errors.ts'
import { type Duration, durationMs } from './duration.ts'
import type { AnySchema, InputOf, OutputOf } from './schema.ts'
import { type Size, sizeOf } from './size.ts'

/** What a queue file declares. Everything but `name` and `payload` has a default that is safe in production. */
export type QueueOptions<S extends AnySchema> = {
  /** The queue's name, the same as its file's: lower-case words joined by dashes. */
  name: string
  /** A Standard Schema (Zod, Valibot, …). Producers write its input, workers read its output. */
  payload: S
  /**
   * Events that become jobs here: `source:type`, where source is a source's name or type. `slack:app_mention`;
   * `github:pull_request.*` takes the type itself and everything below it; `stripe:*` everything; a leading `!` excludes.
   * Default: none.
   */
  on?: readonly string[]
  /** How failed attempts are repeated. */
  retry?: {
    /** Attempts in all, the first included. Default: 5. */
    attempts?: number
    /** Wait before the second attempt; it doubles with each further one. Default: '1s'. */
    base?: Duration
    /** Longest wait. Default: '10m'. */
    max?: Duration
    /** Share of the wait that is random, 0 to 1, so that failures of one cause do not come back at once. Default: 0.5. */
    jitter?: number
  }
  /** How long finished jobs can be looked at. */
  keep?: {
    /** Default: `{ age: '1h', count: 1000 }`. */
    completed?: KeepOptions
    /** Dead letters: jobs that will not be tried again. Default: `{ age: '14d', count: 50_000 }`. */
    dead?: KeepOptions
  }
  /**
   * How much of the store's memory its unfinished jobs may take, estimated from a sample of them each second. Beyond it
   * new events and jobs are answered with 503 (`shed`), so that one queue that nobody works on does not fill the store for
   * all; Slack's events are stored all the same. Default: none.
   */
  budget?: Size
  /** Jobs with the same key within the time are one job. The time counts from the first. Default: none. */
  dedupe?: { by(payload: InputOf<S>): string; within: Duration }
}

export type KeepOptions = { age?: Duration; count?: number }

export type RetryPolicy = { attempts: number; baseMs: number; maxMs: number; jitter: number }
export type KeepPolicy = { ageMs: number; count: number }

/** A promise: name, payload schema, and the policy that holds for every job in it. Frozen, inert, safe to import anywhere. */
export type Queue<S extends AnySchema = AnySchema> = {
  readonly kind: 'queue'
  readonly name: string
  readonly payload: S
  readonly on: readonly string[]
  readonly retry: Readonly<RetryPolicy>
  readonly keep: { readonly completed: Readonly<KeepPolicy>; readonly dead: Readonly<KeepPolicy> }
  /** Bytes. */
  readonly budget: number | undefined
  // A method, not a function property: only methods let a queue of one payload pass for a queue of any.
  readonly dedupe: { by(payload: InputOf<S>): string; readonly withinMs: number } | undefined
}

/** Any queue, whatever its payload: for code that carries queues about without looking inside. */
export type AnyQueue = Queue<AnySchema>

/** What a producer hands in. */
export type PayloadInput<Q extends AnyQueue> = InputOf<Q['payload']>
/** What a worker gets. */
export type PayloadOutput<Q extends AnyQueue> = OutputOf<Q['payload']>

export const queueNamePattern = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/
const patternPattern = /^!?[a-z][a-z0-9-]*:(?:\*|[\w./-]+?(?:\.\*)?)$/i

const defaults = {
  retry: { attempts: 5, base: '1s', max: '10m', jitter: 0.5 },
  completed: { age: '1h', count: 1_000 },
  dead: { age: '14d', count: 50_000 },
} as const

/** Less is within the error of the estimate. */
const leastBudget = 1024 ** 2

const known = {
  queue: ['name', 'payload', 'on', 'retry', 'keep', 'budget', 'dedupe'],
  retry: ['attempts', 'base', 'max', 'jitter'],
  keep: ['completed', 'dead'],
  kept: ['age', 'count'],
  dedupe: ['by', 'within'],
}

/**
 * Declares a queue. Checks everything that can be checked without a connection, and opens none.
 * Throws `invalid-definition` with the option and what is allowed.
 */
export function defineQueue<S extends AnySchema>(options: QueueOptions<S>): Queue<S> {
  const name = options?.name
  if (typeof name !== 'string' || !queueNamePattern.test(name) || name.length > 100)
    throw wrong(`the queue name ${JSON.stringify(name)}`, "lower-case words joined by dashes, such as 'order-paid'")
  const at = `queue '${name}'`
  noUnknown(options, known.queue, at)
  noUnknown(options.retry, known.retry, `${at}: retry`)
  noUnknown(options.keep, known.keep, `${at}: keep`)
  noUnknown(options.keep?.completed, known.kept, `${at}: keep.completed`)
  noUnknown(options.keep?.dead, known.kept, `${at}: keep.dead`)
  noUnknown(options.dedupe, known.dedupe, `${at}: dedupe`)
  if (typeof options.payload?.['~standard']?.validate !== 'function')
    throw wrong(`${at}: payload`, 'a Standard Schema, such as z.object({…})')

  const on = options.on ?? []
  for (const pattern of on)
    if (!patternPattern.test(pattern))
      throw wrong(`${at}: on ${JSON.stringify(pattern)}`, "'source:type', 'source:type.*' or 'source:*'")

  if (on.length > 0 && on.every((pattern) => pattern.startsWith('!')))
    throw wrong(`${at}: on`, 'taking anything: it only excludes')

  const retry = { ...defaults.retry, ...options.retry }
  const baseMs = durationMs(retry.base, `${at}: retry.base`)
  const maxMs = durationMs(retry.max, `${at}: retry.max`)
  if (!Number.isInteger(retry.attempts) || retry.attempts < 1)
    throw wrong(`${at}: retry.attempts ${retry.attempts}`, 'a whole number from 1')
  if (!(retry.jitter >= 0 && retry.jitter <= 1))
    throw wrong(`${at}: retry.jitter ${retry.jitter}`, 'a number from 0 to 1')
  if (maxMs < baseMs) throw wrong(`${at}: retry.max ${retry.max}`, `at least retry.base (${retry.base})`)

  const budget = options.budget === undefined ? undefined : sizeOf(options.budget)
  if (options.budget !== undefined && !(budget !== undefined && budget >= leastBudget))
    throw wrong(`${at}: budget ${JSON.stringify(options.budget)}`, "a size of at least '1mb', such as '64mb'")

  const dedupe = options.dedupe
  if (dedupe && typeof dedupe.by !== 'function') throw wrong(`${at}: dedupe.by`, 'a function of the payload')

  const withinMs = dedupe ? durationMs(dedupe.within, `${at}: dedupe.within`) : 0
  // BullMQ takes 0 for "for ever".
  if (dedupe && withinMs < 1) throw wrong(`${at}: dedupe.within ${dedupe.within}`, "at least '1ms'")

  return Object.freeze({
    kind: 'queue',
    name,
    payload: options.payload,
    on: Object.freeze([...on]),
    retry: Object.freeze({ attempts: retry.attempts, baseMs, maxMs, jitter: retry.jitter }),
    keep: Object.freeze({
      completed: keepPolicy({ ...defaults.completed, ...options.keep?.completed }, `${at}: keep.completed`),
      dead: keepPolicy({ ...defaults.dead, ...options.keep?.dead }, `${at}: keep.dead`),
    }),
    budget,
    dedupe: dedupe && Object.freeze({ by: dedupe.by, withinMs }),
  })
}

function keepPolicy(keep: Required<KeepOptions>, at: string): Readonly<KeepPolicy> {
  if (!Number.isInteger(keep.count) || keep.count < 0) throw wrong(`${at}.count ${keep.count}`, 'a whole number from 0')
  const ageMs = durationMs(keep.age, `${at}.age`)
  // BullMQ keeps ages in whole seconds; less than one would silently become "for ever".
  if (ageMs < 1_000) throw wrong(`${at}.age ${keep.age}`, "at least '1s'; for none at all use count: 0")
  return Object.freeze({ ageMs, count: keep.count })
}

function noUnknown(options: object | undefined, allowed: readonly string[], at: string): void {
  for (const key of Object.keys(options ?? {}))
    if (!allowed.includes(key)) throw wrong(`${at}: ${key}`, `an option: it is none of ${allowed.join(', ')}`)
}

function wrong(what: string, allowed: string): MillraceError {
  return new MillraceError('invalid-definition', `${what} is not ${allowed}`)
}
