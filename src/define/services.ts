import type { Duration } from './duration.ts'
import type { AnyWarmer } from './warmer.ts'

/*
 * What handlers find in their context beside the queue. Everything belongs to the job's tenant: keys of two tenants never
 * meet, and a job without a tenant has a room of its own.
 */

/** How long values of a kind are kept. */
export type Ttl = Duration | TtlPreset
export type TtlPreset = 'short' | 'medium' | 'long' | 'hour' | 'day'

export type CacheOptions = {
  /** Default: 'medium' (5 minutes). */
  readonly ttl?: Ttl
  /** Names under which entries are invalidated together. */
  readonly tags?: readonly string[]
  /** For so long after its time a value is still given, while one caller computes a new one. Default: none. */
  readonly stale?: Duration
  /** How long "there is none" (undefined or null) is remembered; '0s' not at all. Default: '30s' or the ttl, whichever is shorter. */
  readonly negative?: Duration
  /** Each use starts the time anew. Default: false. */
  readonly sliding?: boolean
}

/**
 * Never throws for a cache store that is away or slow: then it computes, or gives what this process has. Values are as JSON has
 * them, and frozen, because one is given to many. Some namespaces are refused with `never-cached` (docs/cache.md).
 */
export type Cache = {
  /** Keys below `name:`. */
  namespace(name: string): Cache
  get<Value>(key: string): Promise<Value | undefined>
  /** In the order of the keys; all that are not at hand in one round trip. */
  getMany<Value>(keys: readonly string[]): Promise<(Value | undefined)[]>
  set(key: string, value: unknown, options?: CacheOptions): Promise<void>
  /** Many with the same options, in one round trip or a few. Each as by `set`: where one is refused the others are stored. */
  setMany(entries: Iterable<readonly [key: string, value: unknown]>, options?: CacheOptions): Promise<void>
  /** One computation for a key at a time, in all processes together. What `compute` throws is thrown, and not kept. */
  getOrCompute<Value>(
    key: string,
    compute: (given: { signal: AbortSignal }) => Promise<Value> | Value,
    options?: CacheOptions,
  ): Promise<Value>
  /** `fn`, asked through the cache. Default key: a hash of the arguments that does not depend on the order of properties. */
  cached<Args extends readonly unknown[], Value>(
    fn: (...args: Args) => Promise<Value> | Value,
    options: CacheOptions & { readonly name: string; readonly key?: (...args: Args) => string },
  ): (...args: Args) => Promise<Value>
  delete(...keys: readonly string[]): Promise<void>
  /** By tag, or by pattern (`*` any text, everything else itself). Resolves with how many entries went, when every process has been told. */
  invalidate(what: { readonly tag: string } | { readonly pattern: string }): Promise<number>
  /**
   * Computes again what was used most in the last day, at a gentle rate, where it is known how: by a warmer, or by a function that
   * `cached` got in this process. For the job's tenant; a job without one warms for all. Throws when the cache store is away.
   */
  warm(options?: WarmOptions): Promise<WarmReport>
}

export type WarmOptions = {
  readonly warmers?: readonly AnyWarmer[]
  /** Only these, by the names of warmers and of cached functions. Default: all. */
  readonly names?: readonly string[]
  /** Keys of each tenant. Default: 100. */
  readonly top?: number
  /** Computations. Default: 20. */
  readonly perSecond?: number
  /** Of all tenants only this one. */
  readonly tenant?: string
  readonly signal?: AbortSignal
}
export type WarmReport = {
  readonly tenants: number
  readonly warmed: number
  /** Left alone: they have time left. */
  readonly fresh: number
  /** Somebody else was at it, or what was computed was overtaken. */
  readonly busy: number
  /** Nobody told how to compute them. */
  readonly unknown: number
  readonly failed: number
  /** The first of them. */
  readonly errors: readonly string[]
  readonly tookMs: number
}

export type Message = { readonly role: 'user' | 'assistant' | 'system'; readonly text: string; readonly at: number }
export type ToolRun = {
  readonly tool: string
  readonly ok: boolean
  readonly ms: number
  readonly at: number
  readonly note?: string
}

/** A conversation. `messages` holds the last 50, `toolRuns` the last 20; a text over 16 KB is cut, with a mark. Of more than 256 KB the oldest messages go. */
export type Session = {
  readonly id: string
  /** Empty for jobs without one. */
  readonly tenant: string
  readonly user: string | undefined
  readonly messages: readonly Message[]
  readonly toolRuns: readonly ToolRun[]
  /** Anything serializable that belongs to the conversation, up to 64 KB. */
  readonly data: Readonly<Record<string, unknown>>
  /** Counts changes, from 1. */
  readonly version: number
  readonly createdAt: number
  readonly lastActivityAt: number
}

export type Sessions = {
  /**
   * Of this tenant only; undefined when there is none. Restored from the database when it is no longer hot. Rarely, when a process died
   * in the middle of a change, it is up to 2 s old; what `update` starts from never is.
   */
  get(id: string): Promise<Session | undefined>
  /**
   * Adds to a session, which is made when there is none. Several at once lose nothing. `change` sees the newest state and says what to
   * add or set (of `data`, undefined takes a field away); it may be called again when another process was faster. It is the session of
   * the first `user` that is named. Resolves when the database has it; throws `database-unavailable`, and then nothing was told to anybody.
   */
  update(
    id: string,
    change: (session: Session) => SessionChange,
    options?: { readonly user?: string },
  ): Promise<Session>
  delete(id: string): Promise<boolean>
}
export type SessionChange = {
  readonly messages?: readonly Omit<Message, 'at'>[]
  readonly toolRuns?: readonly Omit<ToolRun, 'at'>[]
  readonly data?: Readonly<Record<string, unknown>>
}

/** So many in so long, in all processes together: never more in any such window (`sliding`), or on average with bursts (`bucket`). */
export type LimitRule = { readonly max: number; readonly per: Duration; readonly kind?: 'sliding' | 'bucket' }
export type Taken = {
  readonly ok: boolean
  readonly limit: number
  readonly remaining: number
  readonly retryAfterMs: number
  readonly resetMs: number
}
export type Limits = {
  /** Counts one against the tenant's `name`, in one round trip. With the store away each process counts for itself. */
  take(name: string, rule: LimitRule): Promise<Taken>
}

/** Shown to those who listen at /api/stream with `topic`; resolves when it is stored, or with nothing done when the store is away. */
export type Publish = (topic: string, data: unknown) => Promise<void>

/**
 * Calls to something outside. Open after 5 failures in a row: then it throws `breaker-open` at once, for 60 s; then it tries one at
 * a time, and closes after 2 successes. By name, for all tenants: where each has a server of its own, name it `<service>:<server>`.
 */
export type Breakers = {
  /**
   * The signal aborts, and the call has failed, after `timeout`. Default: '30s'. `RateLimited` is no failure, and neither is what ends
   * because the caller's own `signal` was aborted, but for a timeout.
   */
  run<Value>(
    name: string,
    call: BreakerCall<Value>,
    options?: { timeout?: Duration; signal?: AbortSignal },
  ): Promise<Value>
}
export type BreakerCall<Value> = (given: { signal: AbortSignal }) => Promise<Value>

/** What ORGANIZATIONS names for the tenant. Ask each time: a secret may be replaced while the process runs. Do not keep or log it. */
export type Secrets = {
  /** Undefined when the organization names none of this name. Throws `secret-unavailable` when it does, but nothing is there. */
  get(name: string): Promise<string | undefined>
}

export type Services = {
  readonly cache: Cache
  readonly sessions: Sessions
  readonly limits: Limits
  readonly publish: Publish
  readonly breakers: Breakers
  readonly secrets: Secrets
}

/** For where there are none: says so when one is asked for, and not before. */
export function noServices(why: string): Services {
  const refuse = (): never => {
    throw new Error(why)
  }
  return Object.defineProperties({} as Services, {
    cache: { get: refuse },
    sessions: { get: refuse },
    limits: { get: refuse },
    publish: { get: refuse },
    breakers: { get: refuse },
    secrets: { get: refuse },
  })
}
