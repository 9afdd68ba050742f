import { MillraceError } from '../errors.ts'
import { gapBody } from './body.ts'
import { Channel, Client, type Sink } from './channel.ts'
import type { Entry, Feed, Part } from './feed.ts'
import { compare, type Position } from './position.ts'
import type { Reader, ReaderEvents } from './reader.ts'
import { meansMessages, meansQueue, type Pattern } from './topics.ts'

/** Heartbeats, rights and patience are looked at so often. */
const tickMs = 1_000
/** A stream is read on for so long after the last listener has gone: most come back at once. */
const lingerMs = 60_000
/** Whoever is being told of what he missed may leave bytes lying for so long. */
const patienceMs = 30_000
/** Whether a listener still may listen is asked with each fourth sign of life: each minute by default. */
const heartbeatsPerCheck = 4
/** Entries that are looked at for one client before others have their turn. */
const perTurn = 2_000
/** Clients come back at different times: so many ms, and up to as many more. */
const comeBackMs = 2_000

export type Ended = 'left' | 'slow' | 'not-allowed' | 'stopping'

export type HubOptions = {
  readonly messages: Feed
  /** By queue. */
  readonly jobs: ReadonlyMap<string, Feed>
  /** The reader of a feed's store. */
  readonly readerOf: (feed: Feed, events: ReaderEvents) => Reader
  readonly mostClients: number
  readonly heartbeatMs: number
  /** Bytes that may lie unread for one client before he is cut off. */
  readonly clientBytes: number
  readonly count: {
    readonly clients: (now: number) => void
    readonly ended: (why: Ended) => void
    readonly gap: () => void
  }
  readonly random?: () => number
}

/** All who listen in this process. What they hear is read once for all, and written once for all who want the same. */
export class Hub {
  readonly name = 'live'
  readonly #options: HubOptions
  readonly #channels = new Map<string, Channel>()
  readonly #clients = new Set<Client>()
  /** Those who are still being told of what they missed. */
  readonly #behind = new Set<Client>()
  readonly #readers = new Map<Feed, Reader>()
  readonly #unusedSince = new Map<Feed, number>()
  #timer: NodeJS.Timeout | undefined
  #isStopping = false

  constructor(options: HubOptions) {
    this.#options = options
    const events: ReaderEvents = {
      opened: (feed) => this.#pumpBehind(feed),
      read: (feed, part) => this.#read(feed, part),
      lost: (feed) => this.#lost(feed),
    }
    for (const feed of [options.messages, ...options.jobs.values()])
      this.#readers.set(feed, options.readerOf(feed, events))
  }

  async start(): Promise<void> {
    this.#timer = setInterval(() => this.#tick(Date.now()), tickMs)
  }

  /** Clients go to another process, and begin there where they were here. */
  quiet(): void {
    this.#isStopping = true
    for (const client of [...this.#clients]) this.#end(client, 'stopping')
    for (const reader of this.#readers.values()) reader.quiet()
  }

  async stop(): Promise<void> {
    this.quiet()
    clearInterval(this.#timer)
    await Promise.all([...new Set(this.#readers.values())].map((reader) => reader.stop()))
  }

  /** Throws `overloaded` when there are too many already, or when the process is about to stop. */
  checkRoom(): void {
    if (this.#isStopping) throw new MillraceError('overloaded', 'the process is shutting down', { retryAfter: 1 })
    if (this.#clients.size >= this.#options.mostClients)
      throw new MillraceError('overloaded', `${this.#clients.size} listen already`, { retryAfter: 5 })
  }

  /** `places` is where he was, from {@link readToken}. Returns how he leaves. Throws as {@link checkRoom}. */
  join(
    wanted: { readonly tenant: string | undefined; readonly patterns: readonly Pattern[] },
    places: ReadonlyMap<number, Position>,
    sink: Sink,
    isAllowed: () => Promise<boolean>,
  ): () => void {
    this.checkRoom()
    const channel = this.#channelOf(wanted)
    const client = new Client(channel, sink, isAllowed, places)
    channel.clients.add(client)
    this.#clients.add(client)
    this.#behind.add(client)
    for (const feed of channel.feeds) {
      this.#unusedSince.delete(feed)
      this.#readers.get(feed)?.add(feed)
    }
    this.#options.count.clients(this.#clients.size)
    const wait = comeBackMs * (1 + (this.#options.random ?? Math.random)())
    client.send(Buffer.from(`retry: ${Math.round(wait)}\n\n`))
    this.#pump(client)
    return () => this.#forget(client, 'left')
  }

  #channelOf({ tenant, patterns }: { tenant: string | undefined; patterns: readonly Pattern[] }): Channel {
    const key = JSON.stringify([tenant ?? null, ...new Set(patterns.map((words) => words.join('.')).sort())])
    const known = this.#channels.get(key)
    if (known) return known
    const { messages, jobs } = this.#options
    const feeds = [
      ...(patterns.some(meansMessages) ? [messages] : []),
      ...[...jobs].filter(([queue]) => patterns.some((pattern) => meansQueue(pattern, queue))).map(([, feed]) => feed),
    ]
    const channel = new Channel(key, tenant, patterns, feeds)
    this.#channels.set(key, channel)
    return channel
  }

  #read(feed: Feed, { entries, last }: Part): void {
    const channels = [...this.#channels.values()].filter((channel) => channel.feeds.includes(feed))
    const ofTenant = new Map<string | undefined, Channel[]>()
    for (const channel of channels) {
      const some = ofTenant.get(channel.tenant)
      if (some) some.push(channel)
      else ofTenant.set(channel.tenant, [channel])
    }
    for (const entry of entries) {
      feed.append(entry)
      for (const channel of ofTenant.get(undefined) ?? []) this.#tell(channel, entry)
      if (entry.tenant !== undefined) for (const channel of ofTenant.get(entry.tenant) ?? []) this.#tell(channel, entry)
    }
    feed.end = last
    this.#pumpBehind(feed)
  }

  #tell(channel: Channel, entry: Entry): void {
    if (channel.live.size === 0 || !channel.wants(entry)) return
    const bytes = Buffer.concat([channel.idLine(), entry.body])
    for (const client of channel.live) this.#send(client, bytes)
  }

  #lost(feed: Feed): void {
    this.#options.count.gap()
    for (const channel of this.#channels.values()) {
      if (channel.live.size === 0 || !channel.feeds.includes(feed)) continue
      const bytes = Buffer.concat([channel.idLine(), gapBody(feed.source.name)])
      for (const client of channel.live) this.#send(client, bytes)
    }
    this.#pumpBehind(feed)
  }

  #send(client: Client, bytes: Buffer): void {
    client.send(bytes)
    if (client.sink.buffered > this.#options.clientBytes) this.#end(client, 'slow')
  }

  #pumpBehind(feed: Feed): void {
    for (const client of this.#behind) if (client.channel.feeds.includes(feed)) this.#pump(client)
  }

  /** Tells a client what he missed, as far as he takes it; then he is live. */
  #pump(client: Client): void {
    if (client.isBusy || !this.#behind.has(client)) return
    for (const feed of client.channel.feeds) if (!this.#settle(client, feed)) return
    for (const of of client.gaps.splice(0)) {
      this.#options.count.gap()
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
    }
    return true
  }

  /** Goes on when it has happened. What fails is tried again with the next tick. */
  #later(client: Client, happens: Promise<unknown>): void {
    client.isBusy = true
    const done = (isPumped: boolean) => {
      client.isBusy = false
      client.blockedSince = undefined
      if (isPumped) this.#pump(client)
    }
    happens.then(
      () => done(true),
      () => done(false),
    )
  }

  #tick(now: number): void {
    for (const client of [...this.#clients]) {
      if (client.blockedSince !== undefined && now - client.blockedSince > patienceMs) this.#end(client, 'slow')
      else {
        this.#pump(client)
        if (now - client.wroteAt >= this.#options.heartbeatMs) this.#heartbeat(client)
        if (now - client.checkedAt >= heartbeatsPerCheck * this.#options.heartbeatMs) this.#recheck(client, now)
      }
    }
    for (const [feed, reader] of this.#readers) {
      if ([...this.#channels.values()].some((channel) => channel.feeds.includes(feed))) continue
      const since = this.#unusedSince.get(feed) ?? now
      this.#unusedSince.set(feed, since)
      if (now - since < lingerMs) continue
      reader.remove(feed)
    }
  }

  /** With the place, which moves on while others are told; or who hears little would come back with an old one. */
  #heartbeat(client: Client): void {
    const isLive = client.channel.live.has(client)
    const lines = isLive ? [Buffer.from(':\n'), client.channel.idLine(), Buffer.from('\n')] : [Buffer.from(':\n\n')]
    this.#send(client, Buffer.concat(lines))
  }

  #recheck(client: Client, now: number): void {
    client.checkedAt = now
    client.isAllowed().then(
      (isAllowed) => {
        if (!isAllowed) this.#end(client, 'not-allowed')
      },
      () => {}, // the store is away: asked again in a while
    )
  }

  #end(client: Client, why: Ended): void {
    if (!this.#forget(client, why)) return
    if (why === 'slow') client.sink.cut()
    else client.sink.end()
  }

  #forget(client: Client, why: Ended): boolean {
    if (!this.#clients.delete(client)) return false
    const { channel } = client
    this.#behind.delete(client)
    channel.live.delete(client)
    channel.clients.delete(client)
    if (channel.clients.size === 0) this.#channels.delete(channel.key)
    this.#options.count.clients(this.#clients.size)
    this.#options.count.ended(why)
    return true
  }
}
