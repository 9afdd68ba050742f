import { randomBytes } from 'node:crypto'

/** A request as a provider sends it, without its signature. */
export type Sample = {
  readonly contentType: string
  readonly body: string
  /** By which repeats are recognised; also in the body, where the provider has it there. */
  readonly id: string
  /** What happened, as queues know it: `app_mention`, `pull_request.opened`. */
  readonly type: string
  /** Providers send a few requests without a signature, and so do we. */
  readonly isUnsigned?: true
}

/** Makes one at `now`, in milliseconds, with ids that no other has. */
export type SampleMaker = (now: number) => Sample

const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'

/** Capital letters and digits, as in Slack's ids. */
export function capitals(count: number): string {
  // 252 is the greatest multiple of 36 in a byte: what is above would favour the first letters.
  let text = ''
  while (text.length < count) for (const byte of randomBytes(count)) if (byte < 252) text += letters[byte % 36]
  return text.slice(0, count)
}

/** Letters of both cases and digits, as in Stripe's ids and those of Standard Webhooks. */
export function alphanumerics(count: number): string {
  return randomBytes(count * 2)
    .toString('base64')
    .replace(/[^A-Za-z0-9]/g, '')
    .slice(0, count)
    .padEnd(count, '0')
}

/** A whole number of ten digits, as in GitHub's ids: never the same twice in one process, hardly ever in two. */
export function serial(): number {
  lastSerial += 1
  return lastSerial
}
let lastSerial = 1_000_000_000 + randomBytes(4).readUInt32BE()

export function hex(bytes: number): string {
  return randomBytes(bytes).toString('hex')
}

/** GitHub's and everybody's way to write a moment. */
export function isoTime(now: number): string {
  return `${new Date(now).toISOString().slice(0, 19)}Z`
}

/** Fields that are there and hold nothing, in an API that leaves none out. */
export function nulls(names: string): Record<string, null> {
  return Object.fromEntries(names.split(' ').map((name) => [name, null]))
}
