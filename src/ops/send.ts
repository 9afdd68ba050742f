import { randomBytes } from 'node:crypto'
import { messageOf } from '../errors.ts'
import { slackSamples } from './samples.ts'

export type SendOptions = {
  readonly url: string
  readonly source: string
  readonly secret: string
  readonly event: string
  readonly count: number
  /** Signs with the source's scheme; handed in, because ops/ does not know ingest/. */
  readonly sign: (secret: string, body: Buffer, now: number) => Record<string, string>
  readonly onProgress?: (done: number) => void
}

export type Sent = {
  readonly id: string
  /** 0 when there was no answer. */
  readonly status: number
  readonly duplicate: boolean
  readonly stored: string | null
  readonly ms: number
  readonly error: string | null
}

/** At once under way; enough to see batching, few enough for any laptop. */
const inFlight = 20

/** Sends `count` different signed samples and tells what became of each, in the order in which they were sent. */
export async function sendSlack(options: SendOptions): Promise<Sent[]> {
  const sent: Sent[] = new Array(options.count)
  let next = 0
  let done = 0
  const lane = async () => {
    while (next < options.count) {
      const i = next++
      sent[i] = await sendOne(options)
      options.onProgress?.(++done)
    }
  }
  await Promise.all(Array.from({ length: Math.min(inFlight, options.count) }, lane))
  return sent
}

async function sendOne({ url, source, secret, event, sign }: SendOptions): Promise<Sent> {
  const now = Date.now()
  const id = `Ev${randomBytes(6).toString('hex').toUpperCase()}`
  const sample = slackSamples[event]?.(id, now)
  if (!sample) throw new Error(`no sample ${event}`)
  const body = Buffer.from(sample.body)
  const began = performance.now()
  const ms = () => Math.round((performance.now() - began) * 10) / 10
  try {
    const response = await fetch(`${url}/hooks/${source}`, {
      method: 'POST',
      body,
      headers: {
        'Content-Type': sample.contentType,
        ...sign(secret, body, now),
      },
    })
    const text = await response.text()
    const error = response.ok ? null : problemText(text)
    return {
      id: response.headers.get('millrace-event') ?? id,
      status: response.status,
      duplicate: response.headers.get('millrace-duplicate') === 'true',
      stored: response.headers.get('millrace-stored'),
      ms: ms(),
      error,
    }
  } catch (error) {
    const cause = error instanceof Error && error.cause ? error.cause : error
    return { id, status: 0, duplicate: false, stored: null, ms: ms(), error: messageOf(cause) }
  }
}

function problemText(text: string): string {
  try {
    const { title, detail, todo } = JSON.parse(text) as { title?: string; detail?: string; todo?: string }
    return [detail ?? title, todo].filter(Boolean).join(' ')
  } catch {
    return text.slice(0, 200)
  }
}
