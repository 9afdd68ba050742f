import type { Redis } from 'ioredis'
import type { InboxEntry, SourceEvent } from '../define/event.ts'
import type { Logger } from '../observe/log.ts'
import { keys } from '../redis/keys.ts'
import type { Extras } from './add-script.ts'
import { encode } from './codec.ts'

export type { InboxEntry } from '../define/event.ts'

const everyMs = 5_000
/** What an entry is taken to need until there are some to look at. */
const firstGuess = 2_048
/** Streams give memory back by whole nodes, so less than this is no limit at all. */
const leastEntries = 100
/** Share of the entries that goes when the store is nearly full: the inbox makes room before work is refused. */
const roomShare = 0.5

/** The small part of an entry; the rest is `data`, the payload as it is stored, and `raw`. */
export type EntryMeta = {
  readonly source: string
  readonly sourceType: string
  readonly type: string
  readonly event: string
  readonly tenant: string | undefined
  readonly queues: readonly string[]
  readonly receivedAt: number
  readonly windowMs: number
  readonly isReadable: boolean
  readonly contentType?: string | undefined
}

/**
 * The list of every accepted event: a stream, entered by the very script that stores the event's first job. Bounded by age,
 * and by memory: the number of entries that fit is learnt from those that are there.
 */
export class Inbox {
  readonly name = 'inbox'
  readonly key: string
  readonly #redis: Redis
  readonly #retentionMs: number
  readonly #limit: number
  readonly #isTight: () => boolean
  readonly #log: Logger
  #length: number
  #timer: NodeJS.Timeout | undefined
  #round: Promise<void> = Promise.resolve()

  constructor({
    redis,
    prefix,
    retentionMs,
    limit,
    isTight,
    log,
  }: {
    redis: Redis
    prefix: string
    retentionMs: number
    /** Bytes. */
    limit: number
    /** Whether the store is close to refusing new work. */
    isTight: () => boolean
    log: Logger
  }) {
    this.key = keys.inbox(prefix)
    this.#redis = redis
    this.#retentionMs = retentionMs
    this.#limit = limit
    this.#isTight = isTight
    this.#log = log
    this.#length = Math.max(leastEntries, Math.floor(limit / firstGuess))
  }

  start(): Promise<void> {
    this.#timer = setInterval(() => {
      this.#round = this.trim().catch((error) => this.#log.warn({ err: error }, 'could not trim the inbox'))
    }, everyMs)
    return Promise.resolve()
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#round
  }

  /** How many entries it may hold. */
  get length(): number {
    return this.#length
  }

  /** What the add script enters with the event's first job. */
  entry(
    { source, sourceType, type, id, tenant, json: own }: SourceEvent,
    { queues, receivedAt, isReadable, json, raw, contentType }: InboxEntry,
    windowMs: number,
  ): NonNullable<Extras['inbox']> {
    const meta: EntryMeta = { source, sourceType, type, event: id, tenant, queues, receivedAt, windowMs, isReadable }
    // One field, because a stream's entry costs by the field.
    if (json === undefined && !raw) return { meta: JSON.stringify(meta) }
    const fields = ['data', encode(json ?? own)]
    return { meta: JSON.stringify({ ...meta, contentType }), fields: raw ? [...fields, 'raw', raw] : fields }
  }

  /** Removes what is over age or memory, and half of the rest when the store is nearly full. */
  async trim(now: number = Date.now()): Promise<void> {
    await this.#redis.xtrim(this.key, 'MINID', '~', String(now - this.#retentionMs))
    const [entries, used] = await Promise.all([this.#redis.xlen(this.key), this.#redis.memory('USAGE', this.key)])
    if (entries >= leastEntries && used)
      this.#length = Math.max(leastEntries, Math.floor((this.#limit * entries) / used))
    if (this.#isTight() && entries > leastEntries) {
      await this.#redis.xtrim(this.key, 'MAXLEN', '~', Math.floor(entries * roomShare))
      this.#log.warn({ entries }, 'the queue store is nearly full: half of the inbox was given up')
    } else if (entries > this.#length) await this.#redis.xtrim(this.key, 'MAXLEN', '~', this.#length)
  }
}
