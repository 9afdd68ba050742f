import { beginning, compare, type Position } from './position.ts'

/** One message or transition, as everybody who may hear it gets it. */
export type Entry = {
  readonly at: Position
  /** Undefined: heard by those only who hear all tenants. */
  readonly tenant: string | undefined
  readonly words: readonly string[]
  /** The lines of the event but for its id, made once for everybody. */
  readonly body: Buffer
}

/** Of a Redis Stream: id and fields. */
export type Raw = [id: string, fields: string[]]

/** A part of a stream, in its order. */
export type Part = {
  /** Not everything in a stream is told. */
  readonly entries: readonly Entry[]
  /** How far it was read. */
  readonly last: Position
  /** Where it really begins, when something before it is missing. */
  readonly lostUntil: Position | undefined
}

/** Of each stream in one read. */
export const perRead = 500

/** A Redis Stream that can be told of. */
export type Source = {
  /** Stands in ids as a hash, and in gaps as it is. */
  readonly name: string
  readonly key: string
  /** Every place in it is one of its entries. */
  readonly isChained: boolean
  /** Where its end is now; makes the stream where it may not be missing. */
  newest(): Promise<Position>
  /** What follows `after`, as XREAD gave it. */
  decode(raw: readonly Raw[], after: Position): Promise<Part>
  /** Everything after `after` up to `to`. */
  between(after: Position, to: Position): Promise<Part>
}

/** What one process has of each stream in memory, for those who come back. The streams are trimmed at 10,000 themselves. */
const mostEntries = 10_000
const mostBytes = 16 * 1024 ** 2
/** What was loaded for one who came back is kept for so long: usually he is not the only one. */
const keptMs = 30_000

/**
 * The end of a stream in this process' memory: all entries after `start` up to `end`. Shared by all who listen, so that
 * when a thousand come back the store is read once.
 */
export class Feed {
  readonly source: Source
  start: Position = beginning
  end: Position = beginning
  isOpen = false
  #entries: Entry[] = []
  #bytes = 0
  /** What was up to here is not to be had any more. */
  #floor: Position | undefined
  #loading: Promise<void> | undefined
  #roomUntil = 0

  constructor(source: Source) {
    this.source = source
  }

  open(at: Position): void {
    this.restart(at)
    this.#floor = undefined
    this.isOpen = true
  }

  close(): void {
    this.restart(beginning)
    this.isOpen = false
  }

  /** Something between `end` and here is lost. */
  restart(at: Position): void {
    this.#entries = []
    this.#bytes = 0
    this.start = this.end = this.#floor = at
  }

  append(entry: Entry): void {
    this.end = entry.at
    this.#entries.push(entry)
    this.#bytes += entry.body.length
    const share = Date.now() < this.#roomUntil ? 2 : 1
    if (this.#entries.length > mostEntries * share || this.#bytes > mostBytes * share) this.#dropTenth()
  }

  /** Index of the first entry after `at`, which is not before `start`. */
  indexAfter(at: Position): number {
    let [low, high] = [0, this.#entries.length]
    while (low < high) {
      const middle = (low + high) >> 1
      const entry = this.#entries[middle]
      if (entry && compare(entry.at, at) <= 0) low = middle + 1
      else high = middle
    }
    return low
  }

  entry(index: number): Entry | undefined {
    return this.#entries[index]
  }

  /** Whether this is a place in it; it is not before `start` and not after `end`. */
  has(place: Position): boolean {
    return compare(this.lastUpTo(place), place) === 0
  }

  lastUpTo(place: Position): Position {
    return this.#entries[this.indexAfter(place) - 1]?.at ?? this.start
  }

  /** Whether the store has nothing before `start` either. */
  get isAtFloor(): boolean {
    return this.#floor !== undefined && compare(this.#floor, this.start) >= 0
  }

  /** Brings back what is between `at` and `start`: then `start` is no later than `at`, or it is the floor. */
  load(at: Position): Promise<void> {
    this.#loading ??= this.#load(at).finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  async #load(at: Position): Promise<void> {
    this.#roomUntil = Date.now() + keptMs
    const { start } = this
    const { entries, lostUntil } = await this.source.between(at, start)
    // The memory may have moved on while the store was read; who needs the rest asks again.
    if (!this.isOpen || compare(this.start, start) !== 0) return
    this.#entries = [...entries, ...this.#entries]
    for (const { body } of entries) this.#bytes += body.length
    this.start = lostUntil ?? at
    if (lostUntil) this.#floor = lostUntil
  }

  /** Moving the others costs as much as they are many, so it is done seldom. */
  #dropTenth(): void {
    const dropped = this.#entries.splice(0, Math.ceil(this.#entries.length / 10))
    for (const { body } of dropped) this.#bytes -= body.length
    this.start = dropped.at(-1)?.at ?? this.start
  }
}
