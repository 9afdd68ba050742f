import { noUnknown, wrong } from './check.ts'
import { durationMs } from './duration.ts'
import type { CacheOptions } from './services.ts'

/** What a tenant's entry is computed from, besides its arguments. */
export type WarmerGiven = { readonly signal: AbortSignal }

export type WarmerOptions<Args extends readonly unknown[], Value> = CacheOptions & {
  /** The namespace of its entries, and what its use is counted under. */
  name: string
  /** Computes an entry. Handlers ask for it with `cache.cached(warmer.compute, warmer)`. */
  compute: (...args: Args) => Promise<Value> | Value
  /** Default: a hash of the arguments. */
  key?: (...args: Args) => string
  /** Warmed for every tenant that used the cache in the last day, whether it asked for these or not. Default: none. */
  always?: readonly Args[]
}

/** A cached function that can be computed without anybody asking: after a restart, too. Frozen and inert. */
export type Warmer<Args extends readonly unknown[] = readonly never[], Value = unknown> = Readonly<
  WarmerOptions<Args, Value>
> & { readonly kind: 'warmer' }

// biome-ignore lint/suspicious/noExplicitAny: a warmer of some arguments, for code that carries warmers about
export type AnyWarmer = Warmer<any, unknown>

const known = ['name', 'compute', 'key', 'always', 'ttl', 'tags', 'stale', 'negative', 'sliding']

/** Declares what can be computed before it is asked for. Throws `invalid-definition`. */
export function defineWarmer<Args extends readonly unknown[], Value>(
  options: WarmerOptions<Args, Value>,
): Warmer<Args, Value> {
  const { name } = options
  const at = `warmer ${JSON.stringify(name)}`
  noUnknown(options, known, at)
  if (typeof name !== 'string' || !/^[a-z][\w.-]{0,59}$/i.test(name)) throw wrong(at, "a name such as 'slack-channels'")
  if (typeof options.compute !== 'function') throw wrong(`${at}: compute`, 'a function')
  if (options.always !== undefined && !options.always.every(Array.isArray))
    throw wrong(`${at}: always`, 'a list of lists of arguments')
  for (const time of ['stale', 'negative'] as const)
    if (options[time] !== undefined) durationMs(options[time], `${at}: ${time}`)
  return Object.freeze({ kind: 'warmer' as const, ...options })
}
