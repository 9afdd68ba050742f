import { LRUCache } from 'lru-cache'
import type { Entry } from './entry.ts'

/** What the guides ask for. Bytes are those of the JSON: a thousand values may also be a thousand megabytes. */
export const localDefaults = { items: 1_000, ms: 60_000, bytes: 64 * 1024 ** 2 }
/** How exactly "least recently used" is kept: a hot entry is moved once in this time, and not at each of its hits. */
const touchMs = 1_000

/** An entry in this process. The promise is made once, so that a hit makes nothing. */
export type Held = {
  readonly key: string
  readonly room: string
  readonly name: string
  readonly tags: readonly string[]
  readonly value: unknown
  readonly promise: Promise<unknown>
  readonly bytes: number
  readonly sliding: boolean
  readonly ttlMs: number
  readonly id: string
  /** Given without a thought until then. */
  until: number
  /** Given until then, while a new one is computed before its time. */
  readonly end: number
  isThere: boolean
  touched: number
  /** Where a view finds it by its own key. */
  near: Map<string, Held> | undefined
  nearKey: string
}

/** L1: what this process has at hand. All views of all tenants share it. */
export class Local {
  readonly #lru: LRUCache<string, Held> | undefined
  readonly #ms: number
  /** Counts what was said to be invalid: what was read before and comes in after may be old. */
  #told = 0

  constructor({ items, ms, bytes }: { items: number; ms: number; bytes: number } = localDefaults) {
    this.#ms = ms
    if (items > 0)
      this.#lru = new LRUCache({
        max: items,
        maxSize: bytes,
        sizeCalculation: ({ bytes }) => bytes + 1,
        dispose: (held) => {
          held.isThere = false
          held.near?.delete(held.nearKey)
        },
      })
  }

  get told(): number {
    return this.#told
  }

  get size(): number {
    return this.#lru?.size ?? 0
  }

  get bytes(): number {
    return (this.#lru?.calculatedSize ?? 0) - this.size
  }

  find(key: string): Held | undefined {
    return this.#lru?.get(key)
  }

  touch(held: Held, now: number): void {
    if (now - held.touched < touchMs) return
    held.touched = now
    this.#lru?.get(held.key)
  }

  /** Unless something was said to be invalid since `told`. `random` is from 0 to 1, without 0. */
  hold(
    { key, room, name }: { key: string; room: string; name: string },
    entry: Entry,
    { now, told, random }: { now: number; told: number; random: number },
  ): Held | undefined {
    if (!this.#lru || told !== this.#told) return undefined
    // Of a sliding one only the store knows whether others have used it meanwhile: it is asked when nobody here did for its time.
    const end = Math.min(now + this.#ms, entry.sliding ? now + entry.ttlMs : entry.freshUntil)
    if (end <= now) return undefined
    const held: Held = {
      key,
      room,
      name,
      tags: entry.tags ? Object.keys(entry.tags) : [],
      value: entry.value,
      promise: Promise.resolve(entry.value),
      bytes: entry.bytes,
      sliding: entry.sliding,
      ttlMs: entry.ttlMs,
      id: entry.id,
      until: Math.min(end, earlyOf(entry, random)),
      end,
      isThere: true,
      touched: now,
      near: undefined,
      nearKey: '',
    }
    this.#lru.set(key, held)
    return held
  }

  drop(keys: readonly string[]): void {
    this.#told++
    for (const key of keys) this.#lru?.delete(key)
  }

  dropWhere(fits: (held: Held) => boolean): void {
    this.#told++
    for (const held of [...(this.#lru?.values() ?? [])]) if (fits(held)) this.#lru?.delete(held.key)
  }

  clear(): void {
    this.#told++
    this.#lru?.clear()
  }
}

/**
 * When to compute anew before the time is over: the costlier, the earlier, and each process at another moment, so that not
 * all find it gone at once (XFetch, Vattani et al. 2015, with beta 1).
 */
export function earlyOf({ freshUntil, costMs }: Entry, random: number): number {
  return freshUntil + costMs * Math.log(random)
}

/**
 * A clock that is read once a millisecond and not once a call: reading it would be a third of a hit. Within one turn of the
 * event loop it stands still.
 */
export function coarse(now: () => number): () => number {
  let read = 0
  const forget = () => {
    read = 0
  }
  return () => {
    if (read !== 0) return read
    read = now()
    setTimeout(forget, 1).unref()
    return read
  }
}
