import { randomBytes } from 'node:crypto'
import type { Logger } from '../observe/log.ts'
import { keys } from '../redis/keys.ts'
import { keyPart } from '../redis/room.ts'
import { type Entry, unpack } from './entry.ts'
import type { Held, Local } from './local.ts'
import type { Policy } from './presets.ts'
import type { Reads } from './reads.ts'
import type { Counts, Stats } from './stats.ts'
import { type CacheStore, StoreAway } from './store.ts'
import type { Told } from './told.ts'

export type CoreSettings = {
  /** A holder that dies blocks others for so long; one that lives renews it. */
  readonly lockMs: number
  /** How long a caller waits for somebody else's computation before it computes itself. */
  readonly patienceMs: number
  /** Longest computation that others wait for; then its signal aborts and its lock is not renewed. */
  readonly holdMs: number
}

export const coreDefaults: CoreSettings = Object.freeze({ lockMs: 5_000, patienceMs: 10_000, holdMs: 60_000 })

/** One entry of one tenant. */
export type Ref = { readonly key: string; readonly lock: string; readonly room: string; readonly name: string }

/** A computation under way in this process, which others may join. */
export type Flight = { readonly ref: Ref; readonly tags: readonly string[]; readonly promise: Promise<unknown> }

/** What all views share. */
export type Core = {
  readonly store: CacheStore
  readonly reads: Reads
  readonly local: Local
  readonly told: Told
  readonly stats: Stats
  readonly prefix: string
  readonly log: Logger
  readonly settings: CoreSettings
  readonly now: () => number
  /** The same, for hits: a millisecond late. */
  readonly coarseNow: () => number
  /** From 0 to 1, without 0. */
  readonly random: () => number
  readonly flights: Map<string, Flight>
  /** Entries that are being computed anew behind their callers' backs. */
  readonly refreshing: Set<string>
  /** What the store did not take when it was away: done again when it is back, or old entries would be. */
  readonly owed: Map<string, () => Promise<unknown>>
  /** Aborts when this process stops. */
  readonly stopping: AbortSignal
}

export function refOf(core: Pick<Core, 'prefix'>, room: string, name: string): Ref {
  const own = `${room}:${name}`
  return { key: keys.cacheEntry(core.prefix) + own, lock: keys.cacheLock(core.prefix) + own, room, name }
}

export function epochKey(core: Pick<Core, 'prefix'>, room: string): string {
  return keys.cacheEpoch(core.prefix) + room
}

/** Where the version of a tag is, and where what is under it. */
export function tagKeys(core: Pick<Core, 'prefix'>, room: string, tag: string): { version: string; index: string } {
  const own = `${room}:${keyPart(tag)}`
  return { version: keys.cacheTag(core.prefix) + own, index: keys.cacheTagged(core.prefix) + own }
}

export function freshToken(): string {
  return randomBytes(9).toString('base64url')
}

/** The store has nothing to say. */
export const away = Symbol('away')

/** What the store answers, or `away`. What is wrong with the question is said in the log and comes to the same. */
export async function tried<T>(core: Core, ref: Ref, answer: Promise<T>): Promise<T | typeof away> {
  try {
    return await answer
  } catch (error) {
    if (!(error instanceof StoreAway)) core.log.warn({ err: error, key: ref.key }, 'the cache cannot use this key')
    return away
  }
}

/** An entry that counts, and the id of whatever is there. */
export type Read = { readonly entry: Entry | undefined; readonly seen: string }

const nothing: Read = { entry: undefined, seen: '' }

/** Reads an entry: one round trip, one more when it has tags that the caller did not name. Throws as `store.ask`. */
export async function read(core: Core, ref: Ref, policy: Policy | undefined): Promise<Read> {
  const tags = policy?.tags ?? []
  if (tags.length === 0) {
    const text = await core.reads.get(ref.key)
    return text === null ? nothing : judged(core, ref, text, [], [])
  }
  const versions = tags.map((tag) => tagKeys(core, ref.room, tag).version)
  const [text = null, ...found] = await core.store.ask((redis) => redis.mgetBuffer(ref.key, ...versions))
  return text === null ? nothing : judged(core, ref, text, tags, found.map(String))
}

/** An entry is good while each of its tags has the version that it had when the entry was made. */
export async function judged(
  core: Core,
  ref: Ref,
  text: Buffer,
  tags: readonly string[],
  versions: readonly string[],
): Promise<Read> {
  const unpacked = unpack(text)
  const entry = unpacked instanceof Promise ? await unpacked : unpacked
  const seen = entry?.id ?? text.toString('latin1', 2, 10)
  if (!entry?.tags) return { entry, seen }
  const known = new Map(tags.map((tag, i) => [tag, versions[i]]))
  const missing = Object.keys(entry.tags).filter((tag) => !known.has(tag))
  if (missing.length > 0) {
    const more = await core.store.ask((redis) => redis.mget(missing.map((tag) => tagKeys(core, ref.room, tag).version)))
    for (const [i, tag] of missing.entries()) known.set(tag, more[i] ?? undefined)
  }
  const isGood = Object.entries(entry.tags).every(([tag, version]) => known.get(tag) === version)
  return { entry: isGood ? entry : undefined, seen }
}

/** Keeps an entry at hand, unless something was said to be invalid since `told`. */
export function hold(core: Core, ref: Ref, entry: Entry, told: number): Held | undefined {
  return core.local.hold(ref, entry, { now: core.now(), told, random: core.random() })
}

export function counted(core: Core, counts: Counts): Counts {
  if (!counts.isListed) core.stats.list(counts)
  return counts
}
