import { LRUCache } from 'lru-cache'

/** How a request was answered, in the words of the metric. */
const answers = ['l1', 'l2', 'stale', 'waited', 'computed', 'miss'] as const
/** Beside the answers: computed behind their backs, without the store, and too large or no JSON. */
export const results = [...answers, 'refreshed', 'error', 'refused'] as const
export type Result = (typeof results)[number]

/** Beside the results: bytes of JSON that were to be stored, and what was stored for them. */
const fields = [...results, 'rawBytes', 'storedBytes'] as const
type Field = (typeof fields)[number]
export type Tally = Record<Field, number>

/** What a view counts, with plain additions: it is on the way of every hit. */
export type Counts = Tally & { readonly room: string; readonly cache: string; isListed: boolean }

/** More namespaces than anybody writes into code are ids, and count together. */
const maxCaches = 50
const otherCache = 'other'
const maxRooms = 1_000

export function emptyTally(): Tally {
  return Object.fromEntries(fields.map((field) => [field, 0])) as Tally
}

/** Counts by tenant and by namespace, and from time to time hands on what has come together. */
export class Stats {
  readonly #listed = new Set<Counts>()
  readonly #caches = new Set<string>()
  readonly #onRequests: (cache: string, result: Result, count: number) => void
  /** Not yet told to the store, by room. */
  #untold = new Map<string, Tally>()
  readonly #total = emptyTally()
  readonly #rooms = new LRUCache<string, Tally>({ max: maxRooms })

  constructor(onRequests: (cache: string, result: Result, count: number) => void) {
    this.#onRequests = onRequests
  }

  countsFor(room: string, namespace: string): Counts {
    return { room, cache: this.#label(namespace), isListed: false, ...emptyTally() }
  }

  list(counts: Counts): void {
    counts.isListed = true
    this.#listed.add(counts)
  }

  /** Moves what was counted on to the metric and to what the store is told. */
  harvest(): void {
    for (const counts of this.#listed) {
      const untold = this.#untold.get(counts.room) ?? emptyTally()
      const room = this.#rooms.get(counts.room) ?? emptyTally()
      for (const result of results) if (counts[result] > 0) this.#onRequests(counts.cache, result, counts[result])
      for (const field of fields) {
        for (const tally of [untold, room, this.#total]) tally[field] += counts[field]
        counts[field] = 0
      }
      this.#untold.set(counts.room, untold)
      this.#rooms.set(counts.room, room)
      counts.isListed = false
    }
    this.#listed.clear()
  }

  /** What the store was not told yet, which from now on it has been. */
  takeUntold(): ReadonlyMap<string, Tally> {
    const untold = this.#untold
    this.#untold = new Map()
    return untold
  }

  /** In this process since its start. */
  own(room?: string): Tally {
    this.harvest()
    return { ...(room === undefined ? this.#total : (this.#rooms.get(room) ?? emptyTally())) }
  }

  #label(namespace: string): string {
    const name = namespace === '' ? 'default' : namespace
    if (this.#caches.has(name)) return name
    if (this.#caches.size >= maxCaches || !/^[\w.-]{1,60}$/.test(name)) return otherCache
    this.#caches.add(name)
    return name
  }
}

/** A tally for people: requests in all, and shares of them. */
export function summaryOf(tally: Tally) {
  const requests = answers.reduce((sum, result) => sum + tally[result], 0)
  const share = (count: number) => (requests === 0 ? 0 : Math.round((count / requests) * 10_000) / 10_000)
  return {
    requests,
    ...tally,
    hitRate: share(tally.l1 + tally.l2 + tally.stale + tally.waited),
    l1Rate: share(tally.l1),
    l2Rate: share(tally.l2),
  }
}

export function tallyFrom(stored: Readonly<Record<string, string>>): Tally {
  const tally = emptyTally()
  for (const field of fields) tally[field] = Number(stored[field] ?? 0)
  return tally
}
