import { MillraceError } from '../errors.ts'
import { gapBody } from './body.ts'
import { CatchUp } from './catch-up.ts'
import { Channel, Client, type Sink } from './channel.ts'
import type { Entry, Feed, Part } from './feed.ts'
import { Outbox } from './outbox.ts'
import type { Position } from './position.ts'
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
  /** Undefined: those who hear all. */
  readonly #byTenant = new Map<string | undefined, Set<Channel>>()
  readonly #clients = new Set<Client>()
  readonly #catchUp: CatchUp
  readonly #readers = new Map<Feed, Reader>()
  readonly #unusedSince = new Map<Feed, number>()
  readonly #outbox = new Outbox((client, bytes) => {
    if (this.#clients.has(client)) this.#send(client, bytes)
  })
  #timer: NodeJS.Timeout | undefined
  #isStopping = false

  constructor(options: HubOptions) {
    this.#options = options
    this.#catchUp = new CatchUp({ clientBytes: options.clientBytes, onGap: options.count.gap })
    const events: ReaderEvents = {
      opened: (feed) => this.#catchUp.pumpThoseOf(feed),
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
    for (const feed of channel.feeds) {
      this.#unusedSince.delete(feed)
      this.#readers.get(feed)?.add(feed)
    }
    this.#options.count.clients(this.#clients.size)
    const wait = comeBackMs * (1 + (this.#options.random ?? Math.random)())
    client.send(Buffer.from(`retry: ${Math.round(wait)}\n\n`))
    this.#catchUp.add(client)
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
    const others = this.#byTenant.get(tenant)
    if (others) others.add(channel)
    else this.#byTenant.set(tenant, new Set([channel]))
    return channel
  }

  /** The next is read when this has been written: a process that cannot keep up falls behind, and does not fill up. */
  #read(feed: Feed, { entries, last }: Part): Promise<void> | undefined {
    for (const entry of entries) {
      feed.append(entry)
      for (const channel of this.#byTenant.get(undefined) ?? []) this.#tell(channel, feed, entry)
      if (entry.tenant === undefined) continue
      for (const channel of this.#byTenant.get(entry.tenant) ?? []) this.#tell(channel, feed, entry)
    }
    feed.end = last
    this.#catchUp.pumpThoseOf(feed)
    return this.#outbox.drained()
  }

  #tell(channel: Channel, feed: Feed, entry: Entry): void {
    if (channel.live.size === 0 || !channel.feeds.includes(feed) || !channel.wants(entry)) return
    this.#outbox.add([...channel.live], Buffer.concat([channel.idLine(), entry.body]))
  }

  #lost(feed: Feed): void {
    this.#options.count.gap()
    for (const channel of this.#channels.values()) {
      if (channel.live.size === 0 || !channel.feeds.includes(feed)) continue
      this.#outbox.add([...channel.live], Buffer.concat([channel.idLine(), gapBody(feed.source.name)]))
    }
    this.#catchUp.lost(feed)
  }

  #send(client: Client, bytes: Buffer): void {
    client.send(bytes)
    if (client.sink.buffered > this.#options.clientBytes) this.#end(client, 'slow')
  }

  #tick(now: number): void {
    for (const client of [...this.#clients]) {
      if (client.blockedSince !== undefined && now - client.blockedSince > patienceMs) this.#end(client, 'slow')
      else {
        this.#catchUp.pump(client)
        if (now - client.wroteAt >= this.#options.heartbeatMs) this.#heartbeat(client)
        if (now - client.checkedAt >= heartbeatsPerCheck * this.#options.heartbeatMs) this.#recheck(client, now)
      }
    }
    for (const [feed, reader] of this.#readers) {
      if (!feed.isOpen || [...this.#channels.values()].some((channel) => channel.feeds.includes(feed))) continue
      const since = this.#unusedSince.get(feed) ?? now
      this.#unusedSince.set(feed, since)
      if (now - since < lingerMs) continue
      reader.remove(feed)
    }
  }

  /** With the place, which moves on while others are told; or who hears little would come back with an old one. */
  #heartbeat(client: Client): void {
    const isLive = client.channel.live.has(client)
    // An id must not come before what it stands for.
    if (isLive && !this.#outbox.isEmpty) return
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
    this.#catchUp.remove(client)
    channel.live.delete(client)
    channel.clients.delete(client)
    if (channel.clients.size === 0) {
      const others = this.#byTenant.get(channel.tenant)
      this.#channels.delete(channel.key)
      others?.delete(channel)
      if (others?.size === 0) this.#byTenant.delete(channel.tenant)
    }
    this.#options.count.clients(this.#clients.size)
    this.#options.count.ended(why)
    return true
  }
}
