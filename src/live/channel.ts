import type { Entry, Feed } from './feed.ts'
import { nameHash, type Position, writeToken } from './position.ts'
import { fits, type Pattern } from './topics.ts'

/** One connection to a listener. */
export type Sink = {
  write(bytes: Buffer): void
  /** Bytes that he has not taken yet. */
  readonly buffered: number
  /** Resolves when he has taken all. Never, when he goes. */
  drained(): Promise<void>
  /** What was written arrives before the end. */
  end(): void
  cut(): void
}

const hashes = new WeakMap<Feed, number>()

function hashOf(feed: Feed): number {
  const known = hashes.get(feed) ?? nameHash(feed.source.name)
  hashes.set(feed, known)
  return known
}

/** All clients who want the same. */
export class Channel {
  readonly key: string
  /** Undefined hears all. */
  readonly tenant: string | undefined
  readonly feeds: readonly Feed[]
  readonly clients = new Set<Client>()
  /** Those who have heard everything up to the end of each feed. */
  readonly live = new Set<Client>()
  readonly #patterns: readonly Pattern[]

  constructor(key: string, tenant: string | undefined, patterns: readonly Pattern[], feeds: readonly Feed[]) {
    this.key = key
    this.tenant = tenant
    this.feeds = feeds
    this.#patterns = patterns
  }

  wants({ words }: Entry): boolean {
    for (const pattern of this.#patterns) if (fits(words, pattern)) return true
    return false
  }

  hears(entry: Entry): boolean {
    return (this.tenant === undefined || entry.tenant === this.tenant) && this.wants(entry)
  }

  /** For all who are live. */
  idLine(): Buffer {
    return Buffer.from(`id: ${writeToken(this.feeds.map((feed) => [hashOf(feed), feed.end]))}\n`)
  }
}

export class Client {
  readonly channel: Channel
  readonly sink: Sink
  readonly isAllowed: () => Promise<boolean>
  /** Names of the streams of which he missed something that is not to be had any more; to be told. */
  readonly gaps: string[] = []
  wroteAt = Date.now()
  checkedAt = Date.now()
  /** Something is awaited before he can be told more. */
  isBusy = false
  blockedSince: number | undefined
  /** A place that this process has not reached yet, and which is known to be there. */
  isAhead: Position | undefined
  readonly #places = new Map<Feed, Position>()

  constructor(channel: Channel, sink: Sink, isAllowed: () => Promise<boolean>, places: ReadonlyMap<number, Position>) {
    this.channel = channel
    this.sink = sink
    this.isAllowed = isAllowed
    for (const feed of channel.feeds) {
      const place = places.get(hashOf(feed))
      if (place) this.#places.set(feed, place)
    }
  }

  send(bytes: Buffer): void {
    this.wroteAt = Date.now()
    this.sink.write(bytes)
  }

  knownPlaceIn(feed: Feed): Position | undefined {
    return this.#places.get(feed)
  }

  placeIn(feed: Feed): Position {
    return this.#places.get(feed) ?? feed.end
  }

  moveTo(feed: Feed, place: Position): void {
    this.#places.set(feed, place)
  }

  idLine(): Buffer {
    return Buffer.from(`id: ${writeToken(this.channel.feeds.map((feed) => [hashOf(feed), this.placeIn(feed)]))}\n`)
  }
}
