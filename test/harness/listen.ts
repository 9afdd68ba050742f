import { request } from 'node:http'
import { adminKey } from './app.ts'
import { until } from './until.ts'

export type Heard = {
  readonly id: string
  readonly event: string
  readonly topic: string
  readonly tenant: string | null
  readonly data: unknown
}

export type Listener = {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /** All events so far, over all connections. */
  readonly events: Heard[]
  /** What it would send when it comes back. */
  readonly lastId: () => string
  /** The beginning of this connection as it came. */
  readonly text: () => string
  /** Resolves when it knows where it is: from then on nothing is missed. */
  readonly placed: Promise<void>
  readonly ended: Promise<void>
  /** So many events, or those of which `which` says yes. */
  hears(count: number, which?: (event: Heard) => boolean): Promise<readonly Heard[]>
  stopReading(): void
  hangUp(): void
}

/** Characters; keeping all would cost more than the test itself. */
const mostText = 5_000

/** What a browser's EventSource does, but for coming back by itself. `events` go on those of an earlier connection. */
export async function listen(
  url: string,
  query: string,
  {
    key = adminKey,
    headers = {},
    lastId = '',
    events = [],
  }: { key?: string; headers?: Record<string, string>; lastId?: string; events?: Heard[] } = {},
): Promise<Listener> {
  let id = lastId
  let text = ''
  let rest = ''
  let place = () => {}
  const placed = new Promise<void>((resolve) => {
    place = resolve
  })
  const asked = request(`${url}/api/stream?${query}`, {
    agent: false,
    headers: {
      ...(headers.cookie === undefined ? { authorization: `Bearer ${key}` } : {}),
      ...(lastId === '' ? {} : { 'last-event-id': lastId }),
      ...headers,
    },
  })
  asked.on('error', () => {})
  asked.end()
  const response = await new Promise<import('node:http').IncomingMessage>((resolve, reject) => {
    asked.once('response', resolve).once('error', reject)
  })
  const ended = new Promise<void>((resolve) => response.once('close', resolve))
  response.on('error', () => {})
  response.setEncoding('utf8')
  response.on('data', (chunk: string) => {
    if (text.length < mostText) text += chunk
    const blocks = (rest + chunk).split('\n\n')
    rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1]
      const given = field('id')
      if (given !== undefined) {
        id = given
        place()
      }
      const data = field('data')
      if (data === undefined) continue
      const { topic = '', tenant = null, ...more } = JSON.parse(data) as Partial<Heard>
      events.push({ id, event: field('event') ?? 'message', topic, tenant, data: more.data ?? more })
    }
  })
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    events,
    lastId: () => id,
    text: () => text,
    placed,
    ended,
    hears: (count, which = () => true) =>
      until(() => {
        const found = events.filter(which)
        return found.length >= count && found
      }, `${count} events are heard; so far ${events.length}`) as Promise<readonly Heard[]>,
    stopReading: () => void response.pause(),
    hangUp: () => void response.destroy(),
  }
}
