import type { Redis } from 'ioredis'
import { type BullQueue, eventKey } from './bull.ts'
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
  /** Place in the inbox, which is also the cursor of what comes after it. */
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

const perRead = 50

/** Newest first. Reads the inbox piece by piece for as long as the caller goes on. */
export async function* findEvents(
  redis: Redis,
  key: string,
  filter: InboxFilter = {},
  before?: string,
): AsyncGenerator<InboxEvent> {
  let end = before === undefined ? String(filter.until ?? '+') : `(${before}`
  for (;;) {
    const page = await redis.xrevrangeBuffer(key, end, String(filter.since ?? '-'), 'COUNT', perRead)
    for (const [id, fields] of page) {
      const event = eventOf(id.toString(), fields)
      if (event && fits(event, filter)) yield event
    }
    const last = page.at(-1)?.[0]
    if (!last || page.length < perRead) return
    end = `(${last.toString()}`
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
      const state = await queue.getJobState(job)
      return { queue: name, job, state: state === 'failed' ? 'dead' : state === 'unknown' ? 'removed' : state }
    }),
  )
}

/** Undefined for what is no entry of ours. */
function eventOf(at: string, fields: readonly Buffer[]): InboxEvent | undefined {
  const values = new Map<string, Buffer>()
  for (let i = 0; i + 1 < fields.length; i += 2) values.set(String(fields[i]), fields[i + 1] as Buffer)
  let entry: EntryMeta
  try {
    entry = JSON.parse(String(values.get('meta'))) as EntryMeta
  } catch {
    return undefined
  }
  const { receivedAt, tenant, contentType, ...meta } = entry
  const [data, raw] = [values.get('data'), values.get('raw')]
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
