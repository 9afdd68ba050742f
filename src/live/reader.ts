import type { Redis } from 'ioredis'
import { type Feed, type Part, perRead } from './feed.ts'
import { compare, idOf } from './position.ts'

/** One read takes at most so long: then it is looked whether the streams are still the same ones. */
const blockMs = 5_000
/** After a fault; the connection comes back by itself. */
const pauseMs = 500
const againMs = 50
/** A read that is given to a connection which was just lost, and is not to come back, is never answered. */
const settleMs = 500

export type ReaderEvents = {
  /** Its end is known. */
  readonly opened: (feed: Feed) => void
  /** The next is read when this has resolved. */
  readonly read: (feed: Feed, part: Part) => Promise<void> | undefined
  /** Something is lost, and the stream goes on from `feed.end`. */
  readonly lost: (feed: Feed) => void
}

/** Follows the streams of one store on one connection, which is there only as long as somebody listens. */
export class Reader {
  readonly #open: () => Redis
  readonly #ask: Redis
  readonly #events: ReaderEvents
  readonly #feeds = new Map<string, Feed>()
  #redis: Redis | undefined
  #clientId: number | undefined
  #loop: Promise<void> | undefined
  #wake = () => {}
  #isStopped = false

  /** `open` opens a connection on which commands may block; `ask` is one that interrupts it. */
  constructor({ open, ask, events }: { open: () => Redis; ask: Redis; events: ReaderEvents }) {
    this.#open = open
    this.#ask = ask
    this.#events = events
  }

  add(feed: Feed): void {
    if (this.#feeds.has(feed.source.key)) return
    this.#feeds.set(feed.source.key, feed)
    if (this.#loop) void this.#interrupt(feed)
    else if (!this.#isStopped) this.#loop = this.#follow()
  }

  remove(feed: Feed): void {
    this.#feeds.delete(feed.source.key)
    feed.close()
  }

  quiet(): void {
    this.#isStopped = true
    this.#wake()
    this.#redis?.disconnect()
  }

  async stop(): Promise<void> {
    this.quiet()
    await Promise.race([this.#loop, new Promise((resolve) => setTimeout(resolve, settleMs).unref())])
  }

  /** The read under way does not know of the feed. It may be just about to begin, so once may not be enough. */
  async #interrupt(feed: Feed): Promise<void> {
    while (!this.#isStopped && !feed.isOpen && this.#feeds.get(feed.source.key) === feed) {
      if (this.#clientId !== undefined) await this.#ask.client('UNBLOCK', this.#clientId).catch(() => {})
      await new Promise((resolve) => setTimeout(resolve, againMs).unref())
    }
  }

  async #follow(): Promise<void> {
    const redis = this.#open()
    this.#redis = redis
    redis.on('ready', () => {
      redis.client('ID').then(
        (id) => {
          this.#clientId = Number(id)
        },
        () => {},
      )
    })
    while (!this.#isStopped && this.#feeds.size > 0) {
      try {
        await this.#openNew()
        await this.#readOnce(redis)
      } catch {
        if (!this.#isStopped) await this.#pause()
      }
    }
    redis.disconnect()
    this.#redis = undefined
    this.#clientId = undefined
    this.#loop = undefined
    // Somebody may have come in just now.
    if (!this.#isStopped && this.#feeds.size > 0) this.#loop = this.#follow()
  }

  async #openNew(): Promise<void> {
    const fresh = [...this.#feeds.values()].filter((feed) => !feed.isOpen)
    await Promise.all(
      fresh.map(async (feed) => {
        feed.open(await feed.source.newest())
        this.#events.opened(feed)
      }),
    )
  }

  async #readOnce(redis: Redis): Promise<void> {
    const feeds = [...this.#feeds.values()]
    if (feeds.length === 0 || feeds.some(({ isOpen }) => !isOpen)) return
    const [keys, ids] = [feeds.map(({ source }) => source.key), feeds.map(({ end }) => idOf(end))]
    const found = await redis.xread('COUNT', perRead, 'BLOCK', blockMs, 'STREAMS', ...keys, ...ids)
    if (!found) return this.#compareEnds(feeds)
    for (const [key, raw] of found) {
      const feed = this.#feeds.get(key)
      // It may have been closed, and even opened again, while the read was under way.
      if (!feed?.isOpen || idOf(feed.end) !== ids[keys.indexOf(key)]) continue
      const { end } = feed
      const part = await feed.source.decode(raw, end)
      if (!feed.isOpen || compare(feed.end, end) !== 0) continue
      if (part.lostUntil) {
        feed.restart(part.lostUntil)
        this.#events.lost(feed)
      }
      await this.#events.read(feed, part)
    }
  }

  /** Nothing came. A stream that ends before the place that was read last is another one: the store has lost it. */
  async #compareEnds(feeds: readonly Feed[]): Promise<void> {
    for (const feed of feeds) {
      const { end } = feed
      const newest = await feed.source.newest()
      if (!feed.isOpen || compare(feed.end, end) !== 0 || compare(newest, end) >= 0) continue
      feed.restart(newest)
      this.#events.lost(feed)
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, pauseMs)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
