import type { Redis } from 'ioredis'
import type { InboxEntry, SourceEvent } from '../define/event.ts'
import type { Logger } from '../observe/log.ts'
import { keys } from '../redis/keys.ts'
import type { InboxFields } from './add-script.ts'
import { encode } from './codec.ts'
import { member, quote } from './json.ts'

export type { InboxEntry } from '../define/event.ts'

const everyMs = 5_000
/** Share of the limit after which it is trimmed at once: in a flood, everyMs is long. */
const early = 1 / 8
/**
 * How many nodes of the stream are asked for their size, from the oldest on: all of them with the usual limit. They differ by
 * the number of events that came together, so the default of five would say nothing. 20,000 take redis-server 0.6 ms (measured).
 */
const samples = 20_000
/**
 * The oldest entries may be larger or smaller than most: a quarter of what seems too many goes, then it is looked again, and
 * with each further look twice as much goes.
 */
const firstShare = 0.25
const maxSteps = 8
/** A larger payload is not entered: the event is found, and its job shows it. Bounds what one page of the inbox can take. */
const maxPayload = 256 * 1024
/** To give up less is not worth a warning. */
const leastBytes = 1024 ** 2
/** Share of the entries that goes when the store is nearly full: the inbox makes room before work is refused. */
const roomShare = 0.5

/** The small part of an entry; the rest is `data`, the payload as it is stored, and `raw` in base64. */
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
 * The list of every accepted event: a stream, entered by the very script that stores the event's first job; an entry has
 * the events of one call. Bounded by age, and by memory.
 */
export class Inbox {
  readonly name = 'inbox'
  readonly key: string
  readonly #redis: Redis
  readonly #retentionMs: number
  readonly #limit: number
  readonly #isTight: () => boolean
  readonly #log: Logger
  /** Bytes entered since it was trimmed last. */
  #entered = 0
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
  }

  get isOn(): boolean {
    return this.#limit > 0
  }

  /** Switched off, it gives up what there was. */
  async start(): Promise<void> {
    if (!this.isOn) return void (await this.#redis.unlink(this.key))
    this.#timer = setInterval(() => this.#trimSoon(), everyMs)
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#round
  }

  /** One after the other. */
  #trimSoon(): void {
    this.#entered = 0
    this.#round = this.#round
      .then(() => this.trim())
      .catch((error) => this.#log.warn({ err: error }, 'could not trim the inbox'))
  }

  /** What the add script enters with the event's first job. */
  entry(
    { source, sourceType, type, id, tenant, json: own }: SourceEvent,
    { queues, receivedAt, isReadable, json, raw, contentType }: InboxEntry,
    windowMs: number,
  ): InboxFields {
    const small: EntryMeta = { source, sourceType, type, event: id, tenant, queues, receivedAt, windowMs, isReadable }
    const fields = this.#fields(small, own, { json, raw, contentType })
    this.#entered += fields.meta.length + (fields.data ?? own).length + (fields.raw?.length ?? 0)
    if (this.#entered > this.#limit * early) this.#trimSoon()
    return fields
  }

  #fields(
    small: EntryMeta,
    own: string,
    { json, raw, contentType }: Pick<InboxEntry, 'json' | 'raw' | 'contentType'>,
  ): InboxFields {
    // One field, because a stream's entry costs by the field.
    if (json === undefined && !raw && own.length <= maxPayload && !this.#isTight()) return { meta: write(small) }
    const meta = write({ ...small, contentType })
    const isLarge = (json ?? own).length + (raw?.length ?? 0) > maxPayload
    if (isLarge || this.#isTight()) return { meta, data: '' }
    return {
      meta,
      ...(json === undefined ? {} : { data: encode(json) }),
      // Redis takes any bytes, but with text alone ioredis is faster.
      ...(raw ? { raw: raw.toString('base64') } : {}),
    }
  }

  /** Removes what is over age or memory, and half of the rest when the store is nearly full. */
  async trim(now: number = Date.now()): Promise<void> {
    await this.#redis.xtrim(this.key, 'MINID', String(now - this.#retentionMs))
    for (let step = 0; step < maxSteps; step += 1) {
      const [entries, used] = await Promise.all([
        this.#redis.xlen(this.key),
        this.#redis.memory('USAGE', this.key, 'SAMPLES', samples),
      ])
      if (!used || entries === 0) return
      if (step === 0 && this.#isTight() && used > leastBytes) {
        await this.#redis.xtrim(this.key, 'MAXLEN', Math.floor(entries * roomShare))
        this.#log.warn({ entries }, 'the queue store is nearly full: half of the inbox was given up')
        return
      }
      if (used <= this.#limit) return
      const excess = Math.ceil(entries * (1 - this.#limit / used) * firstShare * 2 ** step)
      // Exactly, because some entries are a thousand times as large as others.
      await this.#redis.xtrim(this.key, 'MAXLEN', Math.max(1, entries - excess))
      if (entries === 1) return
    }
  }
}

function write(meta: EntryMeta): string {
  const { source, sourceType, type, event, tenant, queues, receivedAt, windowMs, isReadable, contentType } = meta
  let text = `{"source":${quote(source)},"sourceType":${quote(sourceType)},"type":${quote(type)},"event":${quote(event)}`
  text += `${member('tenant', tenant)},"queues":[${queues.map(quote).join()}]`
  text += `,"receivedAt":${receivedAt},"windowMs":${windowMs},"isReadable":${isReadable}`
  return `${text}${member('contentType', contentType)}}`
}
