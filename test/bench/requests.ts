import { createConnection, type Socket } from 'node:net'
import { eventId, eventTime, mention, signature } from './events.ts'

/** What the senders are told to do. */
export type Order = {
  readonly port: number
  readonly connections: number
  readonly seconds: number
  /** At most so many; a run that has sent them all ends early. */
  readonly events: number
}

/** One connection. Whoever uses it sets the two functions. */
export type Line = { readonly socket: Socket; onData: (bytes: Buffer) => void; onEnd: (why: string) => void }

/** Everything that can be done before the clock starts. */
export type Prepared = {
  readonly lines: readonly Line[]
  /** A buffer for a connection of its own, which `fill` turns into the i-th request. */
  readonly request: () => Buffer
  readonly fill: (request: Buffer, i: number) => void
}

const signatureLength = 'v0='.length + 64
const blank = { id: eventId(0), time: eventTime(0), signature: 'v0='.padEnd(signatureLength, '0') }
const answerBytes = 16 * 1024

/** `first` is the serial number of the first event; none may be used twice on one store. */
export async function prepare({ port, connections, events }: Order, first: number): Promise<Prepared> {
  const timestamp = Math.floor(Date.now() / 1_000)
  const signatures = Buffer.alloc(events * signatureLength)
  const parts = mention(blank.id, blank.time).split(new RegExp(`(${blank.time}|${blank.id})`))
  for (let i = 0; i < events; i++) {
    const [id, time] = [eventId(first + i), eventTime(first + i)]
    const body = parts.map((part) => (part === blank.id ? id : part === blank.time ? time : part)).join('')
    signatures.write(signature(timestamp, body), i * signatureLength, 'latin1')
  }

  const body = mention(blank.id, blank.time)
  const head = [
    'POST /hooks/slack HTTP/1.1',
    `Host: 127.0.0.1:${port}`,
    'User-Agent: Slackbot 1.0 (+https://api.slack.com/robots)',
    'Accept-Encoding: gzip,deflate',
    'Accept: */*',
    `X-Slack-Signature: ${blank.signature}`,
    `X-Slack-Request-Timestamp: ${timestamp}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Content-Type: application/json',
  ].join('\r\n')
  const template = Buffer.from(`${head}\r\n\r\n${body}`)
  const [signatureAt, timeAt, againAt, idAt] = [
    template.indexOf(blank.signature),
    template.indexOf(blank.time),
    template.lastIndexOf(blank.time),
    template.indexOf(blank.id),
  ]
  return {
    lines: await Promise.all(Array.from({ length: connections }, () => connect(port))),
    request: () => Buffer.from(template),
    fill: (request, i) => {
      signatures.copy(request, signatureAt, i * signatureLength, (i + 1) * signatureLength)
      const time = eventTime(first + i)
      request.write(time, timeAt, 'latin1')
      request.write(time, againAt, 'latin1')
      request.write(eventId(first + i), idAt, 'latin1')
    },
  }
}

/** Reads into one buffer of its own, without streams: half of what a connection costs otherwise. */
function connect(port: number): Promise<Line> {
  const buffer = Buffer.alloc(answerBytes)
  return new Promise((resolve, reject) => {
    const callback = (size: number) => {
      line.onData(buffer.subarray(0, size))
      return true
    }
    const socket = createConnection({ host: '127.0.0.1', port, noDelay: true, onread: { buffer, callback } })
    const line: Line = { socket, onData: () => {}, onEnd: (why) => reject(new Error(why)) }
    socket.once('connect', () => resolve(line))
    socket.on('error', (error) => line.onEnd(error.message))
    socket.on('close', () => line.onEnd('the server hung up'))
  })
}
