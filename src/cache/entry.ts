import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { deflateRaw, deflateRawSync, inflateRaw, inflateRawSync } from 'node:zlib'
import type { Policy } from './presets.ts'

/*
 * How an entry is stored: one line, and the value as JSON, compressed above 1 KB.
 *
 *   M1<8 characters, another each time><flags> <fresh until> <ttl> <time it took> <{"tag":"version"}>\n<value>
 *
 * Numbers in base 36, milliseconds. Whatever does not begin with M1 is a value as JSON, as older programs stored it.
 */

/** Below, compressing costs more than it saves. */
export const thresholdBytes = 1_024
/** More is no cache entry: it would hold up everybody else's commands. */
export const largestBytes = 1024 ** 2
/** Above this the event loop is worth more than the two moves to another thread. */
const syncBytes = 64 * 1_024

const [isPacked, isNone, isSliding] = [1, 2, 4]
const [newline, zero] = [10, 48]
/** Behind `M1` and the id; one digit. */
const flagsAt = 10
const deflate = promisify(deflateRaw)
const inflate = promisify(inflateRaw)

/** An entry as it was read. `freshUntil` is Infinity where only Redis' own time counts. */
export type Entry = {
  readonly id: string
  readonly value: unknown
  readonly freshUntil: number
  readonly ttlMs: number
  /** Milliseconds that computing it took. */
  readonly costMs: number
  readonly sliding: boolean
  readonly tags: Readonly<Record<string, string>> | undefined
  /** Of the JSON. */
  readonly bytes: number
}

export type Packed = { readonly text: Buffer; readonly entry: Entry; readonly px: number }

/** The value as every later reader will get it, and what is to be stored. Undefined when that is too large. */
export async function pack(
  value: unknown,
  policy: Policy,
  { now, costMs, versions }: { now: number; costMs: number; versions: readonly string[] },
): Promise<Packed | undefined> {
  const isNothing = value === undefined
  const json = isNothing ? '' : jsonOf(value)
  const bytes = Buffer.byteLength(json)
  if (bytes > largestBytes) return undefined
  let body: Buffer | string = json
  const isNegative = value === undefined || value === null
  // "There is none" may be wrong soon, however often it is asked.
  const sliding = policy.sliding && !isNegative
  let flags = (isNothing ? isNone : 0) | (sliding ? isSliding : 0)
  if (bytes > thresholdBytes) {
    const packed = bytes > syncBytes ? await deflate(json, { level: 1 }) : deflateRawSync(json, { level: 1 })
    if (packed.length < bytes) {
      body = packed
      flags |= isPacked
    }
  }
  const ttlMs = isNegative ? policy.negativeMs : policy.ttlMs
  const freshUntil = sliding ? Number.POSITIVE_INFINITY : now + ttlMs
  const tags = policy.tags.length > 0 ? tagsOf(policy.tags, versions) : undefined
  const id = randomBytes(6).toString('base64url')
  const until = sliding ? '-' : freshUntil.toString(36)
  const head = `M1${id}${flags} ${until} ${ttlMs.toString(36)} ${Math.ceil(costMs).toString(36)} ${tags ? JSON.stringify(tags) : ''}\n`
  const text = typeof body === 'string' ? Buffer.from(head + body) : Buffer.concat([Buffer.from(head), body])
  const shared = isNothing ? undefined : frozen(JSON.parse(json))
  const entry = { id, value: shared, freshUntil, ttlMs, costMs, sliding, tags, bytes }
  return { text, entry, px: ttlMs + (isNegative ? 0 : policy.staleMs) }
}

/** Undefined for what nobody can read: it counts as not there. */
export function unpack(text: Buffer): Entry | Promise<Entry | undefined> | undefined {
  try {
    if (text[0] !== 77 || text[1] !== 49) return plain(text)
    const flags = (text[flagsAt] ?? 0) - zero
    const bodyAt = flags & isPacked ? text.indexOf(newline) + 1 : text.length
    // What is not compressed in one piece: making a text of bytes takes as long as everything that is done with the head.
    const head = text.toString('utf8', 2, bodyAt)
    const end = head.indexOf('\n')
    const [a, b, c, d] = spacesOf(head)
    const tags = d + 1 >= end ? undefined : (JSON.parse(head.slice(d + 1, end)) as Record<string, string>)
    // Written out: spreading an object into this one takes as long as a third of the parsing.
    const done = (json: string): Entry => ({
      id: head.slice(0, 8),
      value: flags & isNone ? undefined : frozen(JSON.parse(json)),
      freshUntil: head[a + 1] === '-' ? Number.POSITIVE_INFINITY : Number.parseInt(head.slice(a + 1, b), 36),
      ttlMs: Number.parseInt(head.slice(b + 1, c), 36),
      costMs: Number.parseInt(head.slice(c + 1, d), 36),
      sliding: (flags & isSliding) !== 0,
      tags,
      bytes: json.length,
    })
    if ((flags & isPacked) === 0) return done(head.slice(end + 1))
    // Bounds what a damaged or hostile entry could make us allocate.
    const bound = { maxOutputLength: largestBytes }
    const body = text.subarray(bodyAt)
    return body.length > syncBytes / 8
      ? inflate(body, bound).then(
          (json) => done(json.toString()),
          () => undefined,
        )
      : done(inflateRawSync(body, bound).toString())
  } catch {
    return undefined
  }
}

function spacesOf(head: string): [number, number, number, number] {
  const a = head.indexOf(' ', 8)
  const b = head.indexOf(' ', a + 1)
  const c = head.indexOf(' ', b + 1)
  return [a, b, c, head.indexOf(' ', c + 1)]
}

function plain(text: Buffer): Entry {
  const value = frozen(JSON.parse(text.toString()))
  const never = Number.POSITIVE_INFINITY
  const id = text.toString('latin1', 2, 10)
  return { id, value, freshUntil: never, ttlMs: 0, costMs: 0, sliding: false, tags: undefined, bytes: text.length }
}

/** JSON drops functions and symbols without a word; a value that is nothing else is a mistake. Throws TypeError. */
export function jsonOf(value: unknown): string {
  const json = JSON.stringify(value) as string | undefined
  if (json === undefined) throw new TypeError(`a ${typeof value} cannot be cached: it is not JSON`)
  return json
}

function tagsOf(tags: readonly string[], versions: readonly string[]): Record<string, string> {
  return Object.fromEntries(tags.map((tag, i) => [tag, versions[i] ?? '']))
}

/** One value is given to many: whoever changes it would change it for all. */
function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  // By hand, because Object.values makes a list of each object.
  if (Array.isArray(value)) for (const inner of value) frozen(inner)
  else for (const name in value) frozen(value[name])
  return Object.freeze(value)
}
