import type { Taken } from '../define/services.ts'
import { type Count, countOf, type Limit } from '../policy/limits.ts'

/** Counts of one process, 200 bytes or so each. */
const mostCounts = 10_000
/** Remembered calls of all counts together: 8 MB. */
const mostCalls = 1_000_000

/** Counts in this process's memory. Bounded: beyond it the counts that were not used for longest are forgotten. */
export class MemoryCounts {
  readonly #counts = new Map<string, Count>()
  readonly #most: { readonly counts: number; readonly calls: number }
  #calls = 0

  constructor(most = { counts: mostCounts, calls: mostCalls }) {
    this.#most = most
  }

  /** `now` in µs. Answers the first of `calls` that came together. */
  take(key: string, limit: Limit, now: number, calls = 1): Taken {
    const count = this.#counts.get(key) ?? countOf(limit)
    const before = this.#counts.delete(key) ? count.size : 0
    const taken = count.take(now, calls)
    this.#counts.set(key, count)
    this.#calls += count.size - before
    this.#forget(now)
    return taken
  }

  get size(): number {
    return this.#counts.size
  }

  delete(key: string): void {
    this.#calls -= this.#counts.get(key)?.size ?? 0
    this.#counts.delete(key)
  }

  /** The first in the map was not used for longest. A few that are spent go with each call. */
  #forget(now: number): void {
    let looked = 0
    for (const [key, count] of this.#counts) {
      const isTooMuch = this.#counts.size > this.#most.counts || this.#calls > this.#most.calls
      looked += 1
      if (!isTooMuch && (looked > 2 || !count.isSpent(now))) return
      if (this.#counts.size === 1) return
      this.#counts.delete(key)
      this.#calls -= count.size
    }
  }
}
