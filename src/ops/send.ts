import { setTimeout as wait } from 'node:timers/promises'
import { messageOf } from '../errors.ts'
import type { Sample } from './samples.ts'

export type SendOptions = {
  readonly url: string
  readonly source: string
  /** Makes the next event, at a time in milliseconds. */
  readonly make: (now: number) => Outgoing
  /** How many different events. */
  readonly count: number
  /** How often each is sent again, with the same id. */
  readonly repeats?: number | undefined
  /** Events per second, evenly; as fast as it goes when undefined. */
  readonly rate?: number | undefined
  /** Requests under way at once. */
  readonly concurrency: number
  /** Signs other bytes than it sends. */
  readonly tamper?: boolean
  /** The headers of the provider's scheme; handed in, because ops/ does not know ingest/. */
  readonly sign: (body: Buffer, request: { id: string; now: number; type: string }) => Record<string, string>
  readonly onProgress?: (done: number) => void
}

/** A sample, or something else in its shape, whose bytes go out as they are. */
export type Outgoing = Omit<Sample, 'body'> & { readonly body: string | Buffer }

export type Sent = {
  readonly id: string
  /** 0 when there was no answer. */
  readonly status: number
  readonly duplicate: boolean
  readonly stored: string | null
  /** No queue takes it, or it could not be read. */
  readonly quarantined: boolean
  readonly ms: number
  readonly error: string | null
}

type Event = { readonly sample: Outgoing; readonly body: Buffer; left: number }

/** Longer than any provider waits: whoever answers later than that has lost the sender anyway. */
const timeoutMs = 30_000

/** Sends `count` signed events and their repeats, and tells what became of each, in the order in which they were sent. */
export async function send(options: SendOptions): Promise<Sent[]> {
  const { make, count, repeats = 0, rate, concurrency } = options
  const copies = repeats + 1
  const total = count * copies
  const sent: Sent[] = new Array(total)
  const began = performance.now()
  const underWay = new Map<number, Event>()
  let next = 0
  let done = 0
  /** Made when it is due and not before, so that its times are of now; kept for its repeats, which are the same bytes. */
  const eventOf = (index: number): Event => {
    const number = Math.floor(index / copies)
    let event = underWay.get(number)
    if (!event) {
      const sample = make(Date.now())
      event = { sample, body: Buffer.from(sample.body), left: copies }
      underWay.set(number, event)
    }
    event.left--
    if (event.left === 0) underWay.delete(number)
    return event
  }
  const lane = async () => {
    while (next < total) {
      const i = next++
      if (rate !== undefined) {
        const early = began + (Math.floor(i / copies) * 1_000) / rate - performance.now()
        if (early >= 1) await wait(early)
      }
      sent[i] = await sendOne(options, eventOf(i))
      options.onProgress?.(++done)
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, total) }, lane))
  return sent
}

async function sendOne({ url, source, sign, tamper = false }: SendOptions, { sample, body }: Event): Promise<Sent> {
  const request = { id: sample.id, now: Date.now(), type: sample.type }
  const signed = tamper ? Buffer.concat([body, Buffer.from(' ')]) : body
  const proof = sample.isUnsigned && !tamper ? {} : sign(signed, request)
  const began = performance.now()
  const ms = () => Math.round((performance.now() - began) * 10) / 10
  try {
    const response = await fetch(`${url}/hooks/${encodeURIComponent(source)}`, {
      method: 'POST',
      body,
      // A redirection would go on as GET and without the body, which looks like an answer and is none.
      redirect: 'manual',
      signal: AbortSignal.timeout(timeoutMs),
      headers: { 'Content-Type': sample.contentType, ...proof },
    })
    const text = await response.text()
    return {
      id: response.headers.get('millrace-event') ?? sample.id,
      status: response.status,
      duplicate: response.headers.get('millrace-duplicate') === 'true',
      stored: response.headers.get('millrace-stored'),
      quarantined: response.headers.get('millrace-quarantined') === 'true',
      ms: ms(),
      error: response.ok ? null : problemText(text),
    }
  } catch (error) {
    const cause = error instanceof Error && error.cause ? error.cause : error
    return {
      id: sample.id,
      status: 0,
      duplicate: false,
      stored: null,
      quarantined: false,
      ms: ms(),
      error: messageOf(cause),
    }
  }
}

/** What became of it, in one word; `401` and the like for what was refused. */
export function outcomeOf({ status, duplicate, stored, quarantined }: Sent): string {
  if (status === 0) return 'no answer'
  if (status < 200 || status > 299) return `refused ${status}`
  if (duplicate) return 'duplicate'
  // Handshakes are answered and not kept.
  if (stored === null) return 'answered'
  return quarantined ? 'quarantined' : stored === 'spool' ? 'spooled' : 'stored'
}

function problemText(text: string): string {
  try {
    const { title, detail, todo } = JSON.parse(text) as { title?: string; detail?: string; todo?: string }
    return [detail ?? title, todo].filter(Boolean).join('. ')
  } catch {
    return text.slice(0, 200)
  }
}
