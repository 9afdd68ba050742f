import { noUnknown, wrong } from './check.ts'
import { type Duration, durationMs } from './duration.ts'
import { type BreakerOptions, type BreakerPolicy, breakerOf } from './queue/breaker.ts'
import { type DedupeOptions, type DedupePolicy, dedupeOf } from './queue/dedupe.ts'
import { type KeepOptions, type KeepPolicy, keepOf } from './queue/keep.ts'
import { type LimitOptions, type LimitPolicy, limitOf } from './queue/limit.ts'
import { type OrderOptions, type OrderPolicy, orderOf } from './queue/order.ts'
import { type RetryOptions, type RetryPolicy, retryOf } from './queue/retry.ts'
import { type ScheduleOptions, type SchedulePolicy, schedulesOf } from './queue/schedule.ts'
import { type TenantOptions, type TenantPolicy, tenantOf } from './queue/tenant.ts'
import { type Migrations, type VersionPolicy, versionOf } from './queue/version.ts'
import type { AnySchema, InputOf, OutputOf } from './schema.ts'
import { type Size, sizeOf } from './size.ts'

export type { BreakerPolicy } from './queue/breaker.ts'
export type { KeepPolicy } from './queue/keep.ts'
export type { BackoffPolicy, RetryPolicy } from './queue/retry.ts'

/** What a queue file declares. Everything but `name` and `payload` has a default that is safe in production. */
export type QueueOptions<S extends AnySchema> = {
  /** The queue's name, the same as its file's: lower-case words joined by dashes. */
  name: string
  /** A Standard Schema (Zod, Valibot, …). Producers write its input, workers read its output. */
  payload: S
  /**
   * The version of `payload` that producers write now. A worker never takes a job of a newer version than it knows: the job
   * waits for one that does. Default: 1.
   */
  version?: number
  /** From each older version to the next: `{ 1: (payload) => ({ ...payload, currency: 'EUR' }) }`. Default: none. */
  migrate?: Migrations
  /**
   * Events that become jobs here: `source:type`, where source is a source's name or type. `slack:app_mention`;
   * `github:pull_request.*` takes the type itself and everything below it; `stripe:*` everything; a leading `!` excludes.
   * Default: none.
   */
  on?: readonly string[]
  /** How failed attempts are repeated. */
  retry?: RetryOptions
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
  /** Turns between tenants, and bounds for each. Default: jobs run in the order in which they came, whoever's they are. */
  tenant?: TenantOptions<InputOf<S>>
  /** Jobs of one key run one after the other, strictly in order, through retries and crashes; keys run side by side. Default: no order. */
  order?: OrderOptions<InputOf<S>>
  /** How fast jobs may start, of the queue or of each key. Can be changed at run time. Default: no limit. */
  limit?: LimitOptions<InputOf<S>>
  /** Never started later than this after it was enqueued, with a delay after it is due: buried as expired instead. Default: never expires. */
  expires?: Duration
  /** Leaves a broken dependency alone: takes no jobs while too many fail. Default: none. */
  breaker?: BreakerOptions
  /** Jobs that come by themselves, by the clock. Default: none. */
  schedule?: ScheduleOptions<InputOf<S>> | readonly ScheduleOptions<InputOf<S>>[]
  /** What becomes of jobs with the same key. Default: each is a job of its own. */
  dedupe?: DedupeOptions<InputOf<S>>
}

/** A promise: name, payload schema, and the policy that holds for every job in it. Frozen, inert, safe to import anywhere. */
export type Queue<S extends AnySchema = AnySchema> = {
  readonly kind: 'queue'
  readonly name: string
  readonly payload: S
  readonly version: VersionPolicy
  readonly on: readonly string[]
  readonly retry: Readonly<RetryPolicy>
  readonly keep: { readonly completed: Readonly<KeepPolicy>; readonly dead: Readonly<KeepPolicy> }
  /** Bytes. */
  readonly budget: number | undefined
  readonly tenant: TenantPolicy | undefined
  readonly order: OrderPolicy | undefined
  readonly limit: LimitPolicy | undefined
  readonly expiresMs: number | undefined
  readonly breaker: BreakerPolicy | undefined
  readonly schedules: readonly SchedulePolicy[]
  readonly dedupe: DedupePolicy | undefined
}

/** Any queue, whatever its payload: for code that carries queues about without looking inside. */
export type AnyQueue = Queue<AnySchema>

/** What a producer hands in. */
export type PayloadInput<Q extends AnyQueue> = InputOf<Q['payload']>
/** What a worker gets. */
export type PayloadOutput<Q extends AnyQueue> = OutputOf<Q['payload']>

export const queueNamePattern = /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/
const patternPattern = /^!?[a-z][a-z0-9-]*:(?:\*|[\w./-]+?(?:\.\*)?)$/i

/** Less is within the error of the estimate. */
const leastBudget = 1024 ** 2

const known = [
  'name',
  'payload',
  'version',
  'migrate',
  'on',
  'retry',
  'keep',
  'budget',
  'tenant',
  'order',
  'limit',
  'expires',
  'breaker',
  'schedule',
  'dedupe',
]

/**
 * Declares a queue. Checks everything that can be checked without a connection, and opens none.
 * Throws `invalid-definition` with the option and what is allowed.
 */
export function defineQueue<S extends AnySchema>(options: QueueOptions<S>): Queue<S> {
  const name = options?.name
  if (typeof name !== 'string' || !queueNamePattern.test(name) || name.length > 100)
    throw wrong(`the queue name ${JSON.stringify(name)}`, "lower-case words joined by dashes, such as 'order-paid'")
  const at = `queue '${name}'`
  noUnknown(options, known, at)
  if (typeof options.payload?.['~standard']?.validate !== 'function')
    throw wrong(`${at}: payload`, 'a Standard Schema, such as z.object({…})')
  return Object.freeze({
    kind: 'queue',
    name,
    payload: options.payload,
    version: versionOf(options, at),
    on: patternsOf(options.on ?? [], at),
    retry: retryOf(options.retry, `${at}: retry`),
    keep: keepOf(options.keep, `${at}: keep`),
    budget: budgetOf(options.budget, at),
    tenant: tenantOf(options.tenant, `${at}: tenant`),
    order: orderOf(options.order, `${at}: order`),
    limit: limitOf(options.limit, `${at}: limit`),
    expiresMs: options.expires === undefined ? undefined : durationMs(options.expires, `${at}: expires`),
    breaker: breakerOf(options.breaker, `${at}: breaker`),
    schedules: schedulesOf(options.schedule, `${at}: schedule`),
    dedupe: dedupeOf(options.dedupe, `${at}: dedupe`),
  })
}

function patternsOf(on: readonly string[], at: string): readonly string[] {
  for (const pattern of on)
    if (!patternPattern.test(pattern))
      throw wrong(`${at}: on ${JSON.stringify(pattern)}`, "'source:type', 'source:type.*' or 'source:*'")
  if (on.length > 0 && on.every((pattern) => pattern.startsWith('!')))
    throw wrong(`${at}: on`, 'taking anything: it only excludes')
  return Object.freeze([...on])
}

function budgetOf(given: Size | undefined, at: string): number | undefined {
  const budget = given === undefined ? undefined : sizeOf(given)
  if (given !== undefined && !(budget !== undefined && budget >= leastBudget))
    throw wrong(`${at}: budget ${JSON.stringify(given)}`, "a size of at least '1mb', such as '64mb'")
  return budget
}
