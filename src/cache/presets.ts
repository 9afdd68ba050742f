import { type Duration, durationMs } from '../define/duration.ts'
import type { CacheOptions, Ttl, TtlPreset } from '../define/services.ts'
import { MillraceError } from '../errors.ts'

/** By how fast data of a kind changes. */
export const presetMs: Readonly<Record<TtlPreset, number>> = Object.freeze({
  short: 60_000,
  medium: 300_000,
  long: 900_000,
  hour: 3_600_000,
  day: 86_400_000,
})

/** "There is none" may be wrong soon: somebody is just making it. */
const negativeMs = 30_000
/** Longer is storage, and the cache store keeps nothing. */
const longestMs = 365 * 86_400_000

/** Options in milliseconds. */
export type Policy = {
  readonly ttlMs: number
  readonly staleMs: number
  /** 0: not kept. */
  readonly negativeMs: number
  readonly sliding: boolean
  readonly tags: readonly string[]
}

const none: CacheOptions = Object.freeze({})
const known = new WeakMap<CacheOptions, Policy>()

/** Throws `invalid-definition` for what makes no sense. Most callers hand in the same options each time. */
export function policyOf(options: CacheOptions = none): Policy {
  let policy = known.get(options)
  if (!policy) {
    policy = read(options)
    if (Object.isFrozen(options)) known.set(options, policy)
  }
  return policy
}

function read({ ttl = 'medium', tags = [], stale, negative, sliding = false }: CacheOptions): Policy {
  const ttlMs = ttlMsOf(ttl)
  const staleMs = stale === undefined ? 0 : durationMs(stale, 'stale')
  if (sliding && staleMs > 0) throw wrong('sliding and stale exclude each other: what is in use never gets old')
  if (ttlMs < 1 || ttlMs + staleMs > longestMs) throw wrong(`ttl ${ttl} with stale is not between 1ms and 365d`)
  if (!Array.isArray(tags)) throw wrong('tags is a list of texts')
  for (const tag of tags)
    if (typeof tag !== 'string' || tag === '' || tag.length > 200) throw wrong('a tag is a text of 1 to 200 characters')
  return {
    ttlMs,
    staleMs,
    negativeMs: Math.min(ttlMs, negative === undefined ? negativeMs : durationMs(negative, 'negative')),
    sliding,
    tags: tags.length > 1 ? [...new Set(tags)].sort() : tags,
  }
}

export function ttlMsOf(ttl: Ttl): number {
  return Object.hasOwn(presetMs, ttl) ? presetMs[ttl as TtlPreset] : durationMs(ttl as Duration, 'ttl')
}

function wrong(what: string): MillraceError {
  return new MillraceError('invalid-definition', what)
}
