import type { Redis } from 'ioredis'
import { type BullQueue, eventKey, stateName } from './bull.ts'
import { decodeText } from './codec.ts'
import type { EntryMeta } from './inbox.ts'

/** Which events. Everything is optional; what is given must all fit. */
export type InboxFilter = {
  readonly event?: string | undefined
  readonly source?: string | undefined
  /** `message`, or with everything below it `message.*`. */
  readonly type?: string | undefined
  readonly tenant?: string | undefined
  readonly queue?: string | undefined
  /** Milliseconds since the epoch; when it was stored. */
  readonly since?: number | undefined
  readonly until?: number | undefined
}

export type InboxEvent = {
  /** Place in the inbox, `<entry>.<index>`, which is also the cursor of what comes after it. */
  readonly at: string
  readonly event: string
  readonly source: string
  readonly sourceType: string
  readonly type: string
  readonly tenant: string | null
  readonly receivedAt: string
  readonly storedAt: string
  /** False for what could not be understood; it is in quarantine. */
  readonly isReadable: boolean
  readonly queues: readonly string[]
  /** Deduplication window, in milliseconds. */
  readonly windowMs: number
  /** The payload as JSON text; null when it was too large for the inbox. Decoded when it is asked for. */
  readonly data: string | null
  /** The body as it came, where the source keeps it. */
  readonly raw: Buffer | null
  readonly contentType: string | null
}

export type InboxOutcome = {
  readonly queue: string
  readonly job: string | null
  /**
   * A state of BullMQ's, `dead`, `removed` (done, and no longer kept), or `absent`: not stored yet, dead and no longer kept,
   * or older than the window in which repeats are recognised.
   */
  readonly state: string
}

/** How many of the inbox's entries are read at once. An entry has up to 16 events, and about a megabyte. */
const perRead = { first: 16, most: 200 }
/** A read of fewer bytes is followed by a larger one. */
const smallRead = 1024 ** 2

/** Newest first. Reads the inbox piece by piece for as long as the caller goes on. */
export async function* findEvents(
  redis: Redis,
  key: string,
  filter: InboxFilter = {},
  before?: string,
): AsyncGenerator<InboxEvent> {
  const [entry, index] = before?.split('.') ?? []
  let end = entry ?? String(filter.until ?? '+')
  let count = perRead.first
  for (;;) {
    const page = await redis.xrevrangeBuffer(key, end, String(filter.since ?? '-'), 'COUNT', count)
    let bytes = 0
    for (const [id, fields] of page) {
      const at = id.toString()
      for (const field of fields) bytes += field.length
      const events = eventsOf(at, fields)
      // Before the cursor; one without an index has none of its entry's before it.
      if (at === entry) events.splice(Number(index ?? 0))
      for (const event of events.reverse()) if (fits(event, filter)) yield event
    }
    const last = page.at(-1)?.[0]
    if (!last || page.length < count) return
    end = `(${last.toString()}`
    count = bytes < smallRead ? Math.min(perRead.most, count * 2) : perRead.first
  }
}

/** What became of it in each of its queues. */
export async function outcomesOf(
  bull: ReadonlyMap<string, BullQueue>,
  { queues, source, event }: InboxEvent,
): Promise<InboxOutcome[]> {
  return Promise.all(
    queues.map(async (name) => {
      const queue = bull.get(name)
      if (!queue) return { queue: name, job: null, state: 'unknown queue' }
      const job = await queue.redis.get(queue.toKey(`de:${eventKey(source, event)}`))
      if (job === null) return { queue: name, job, state: 'absent' }
      const state = stateName(await queue.getJobState(job))
      return { queue: name, job, state: state === 'failed' ? 'dead' : state === 'unknown' ? 'removed' : state }
    }),
  )
}

/** The events of an entry: for each `meta`, then its `data` and `raw` where it has them. What is not ours is left out. */
function eventsOf(entry: string, fields: readonly Buffer[]): InboxEvent[] {
  const events: InboxEvent[] = []
  for (let i = 0; i + 1 < fields.length; i += 2) {
    if (String(fields[i]) !== 'meta') continue
    const [meta, own] = [fields[i + 1], new Map<string, Buffer>()]
    for (; i + 3 < fields.length && String(fields[i + 2]) !== 'meta'; i += 2)
      own.set(String(fields[i + 2]), fields[i + 3] as Buffer)
    const event = eventOf(`${entry}.${events.length}`, String(meta), own)
    if (event) events.push(event)
  }
  return events
}

function eventOf(at: string, text: string, own: ReadonlyMap<string, Buffer>): InboxEvent | undefined {
  let entry: EntryMeta
  try {
    entry = JSON.parse(text) as EntryMeta
  } catch {
    return undefined
  }
  const { receivedAt, tenant, contentType, ...meta } = entry
  const [data, raw] = [own.get('data'), own.get('raw')]
  return {
    at,
    ...meta,
    tenant: tenant ?? null,
    receivedAt: new Date(receivedAt).toISOString(),
    storedAt: new Date(Number(at.split('-')[0])).toISOString(),
    // Most of those that are looked through are not looked at.
    get data() {
      return data ? decodeText(data.toString()) : null
    },
    raw: raw ? Buffer.from(raw.toString(), 'base64') : null,
    contentType: contentType ?? null,
  }
}

function fits(found: InboxEvent, { event, source, type, tenant, queue }: InboxFilter): boolean {
  if (event !== undefined && found.event !== event) return false
  if (source !== undefined && found.source !== source) return false
  if (tenant !== undefined && found.tenant !== tenant) return false
  if (queue !== undefined && !found.queues.includes(queue)) return false
  if (type === undefined || type === found.type) return true
  return type.endsWith('.*') && `${found.type}.`.startsWith(type.slice(0, -1))
}
