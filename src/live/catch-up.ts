import { gapBody } from './body.ts'
import type { Client } from './channel.ts'
import type { Entry, Feed } from './feed.ts'
import { compare } from './position.ts'

/** Entries that are looked at for one client before others have their turn. */
const perTurn = 2_000

/** Those who are still being told of what they missed, each as fast as he takes it. */
export class CatchUp {
  readonly #options: { readonly clientBytes: number; readonly onGap: () => void }
  readonly #behind = new Set<Client>()

  /** A quarter of `clientBytes` may lie unread before more is written. */
  constructor(options: { readonly clientBytes: number; readonly onGap: () => void }) {
    this.#options = options
  }

  add(client: Client): void {
    this.#behind.add(client)
    this.pump(client)
  }

  remove(client: Client): void {
    this.#behind.delete(client)
  }

  /** What was known of the end of this stream holds no more. */
  lost(feed: Feed): void {
    for (const client of this.#behind) client.isAhead = undefined
    this.pumpThoseOf(feed)
  }

  pumpThoseOf(feed: Feed): void {
    for (const client of this.#behind) if (client.channel.feeds.includes(feed)) this.pump(client)
  }

  /** Tells a client what he missed, as far as he takes it; then he is live. */
  pump(client: Client): void {
    if (client.isBusy || !this.#behind.has(client)) return
    for (const feed of client.channel.feeds) if (!this.#settle(client, feed)) return
    for (const of of client.gaps.splice(0)) {
      this.#options.onGap()
      client.send(Buffer.concat([client.idLine(), gapBody(of)]))
    }
    const { channel } = client
    const next = channel.feeds.map((feed) => ({ feed, index: feed.indexAfter(client.placeIn(feed)) }))
    for (let looked = 0; ; looked += 1) {
      let first: { feed: Feed; index: number } | undefined
      let entry: Entry | undefined
      for (const one of next) {
        const candidate = one.feed.entry(one.index)
        if (candidate && (!entry || candidate.at.ms < entry.at.ms)) [first, entry] = [one, candidate]
      }
      if (!first || !entry) break
      if (looked === perTurn) return void this.#later(client, new Promise((resolve) => setImmediate(resolve)))
      first.index += 1
      client.moveTo(first.feed, entry.at)
      if (!channel.hears(entry)) continue
      client.send(Buffer.concat([client.idLine(), entry.body]))
      if (client.sink.buffered > this.#options.clientBytes / 4) {
        client.blockedSince = Date.now()
        return void this.#later(client, client.sink.drained())
      }
    }
    this.#behind.delete(client)
    channel.live.add(client)
    client.send(Buffer.concat([channel.idLine(), Buffer.from('\n')]))
  }

  /** Whether it is known where the client is in this stream, and what follows is in memory. Else he is pumped again later. */
  #settle(client: Client, feed: Feed): boolean {
    if (!feed.isOpen) return false
    const place = client.knownPlaceIn(feed)
    if (!place) client.moveTo(feed, feed.end)
    else if (compare(place, feed.start) < 0) {
      if (!feed.isAtFloor) {
        this.#later(client, feed.load(place))
        return false
      }
      client.gaps.push(feed.source.name)
      client.moveTo(feed, feed.start)
    } else if (compare(place, feed.end) > 0) {
      // Another process was ahead of this one, or the store has lost what the client has already heard.
      if (client.isAhead !== place)
        this.#later(
          client,
          feed.source.newest().then((newest) => {
            client.isAhead = place
            if (compare(newest, place) >= 0) return
            client.gaps.push(feed.source.name)
            client.moveTo(feed, feed.end)
          }),
        )
      return false
    } else if (feed.source.isChained && !feed.has(place)) {
      // Nobody knows what followed it: the store has lost that place, and has gone on with others.
      client.gaps.push(feed.source.name)
      client.moveTo(feed, feed.lastUpTo(place))
    }
    return true
  }

  /** Goes on when it has happened. What fails is tried again with the next tick. */
  #later(client: Client, happens: Promise<unknown>): void {
    client.isBusy = true
    const done = (isPumped: boolean) => {
      client.isBusy = false
      client.blockedSince = undefined
      if (isPumped) this.pump(client)
    }
    happens.then(
      () => done(true),
      () => done(false),
    )
  }
}
