import { createHash } from 'node:crypto'
import { MillraceError } from '../errors.ts'

/** A place in a Redis Stream: its ids are `<ms>-<seq>`. */
export type Position = { readonly ms: number; readonly seq: number }

export const beginning: Position = { ms: 0, seq: 0 }

export function positionOf(id: string): Position {
  const dash = id.indexOf('-')
  // What is no id, which only a person can have written there, comes before everything.
  return { ms: Number(id.slice(0, dash)) || 0, seq: Number(id.slice(dash + 1)) || 0 }
}

export function idOf({ ms, seq }: Position): string {
  return `${ms}-${seq}`
}

/** Below 0 when `a` is before `b`. */
export function compare(a: Position, b: Position): number {
  return a.ms - b.ms || a.seq - b.seq
}

/*
 * What a client sends back as Last-Event-ID: where it is in each stream that it follows, so that any process can go on from
 * there. 12 bytes for each, in base64url: who follows fifty queues has ids of 820 characters.
 *
 *   name's hash 4 bytes · ms 6 bytes · seq 2 bytes, or 65,535 and 6 bytes more
 */

const version = '1'
/** A header of 16 kB has room for it. */
const mostCharacters = 8_000
const long = 0xffff

/** 4 bytes: of a thousand queues no two have the same with a probability of 0.9999. */
export function nameHash(name: string): number {
  return createHash('sha256').update(name).digest().readUInt32BE()
}

export function writeToken(places: Iterable<readonly [hash: number, at: Position]>): string {
  const bytes: Buffer[] = []
  for (const [hash, { ms, seq }] of places) {
    const isLong = seq >= long
    const one = Buffer.allocUnsafe(isLong ? 18 : 12)
    one.writeUInt32BE(hash, 0)
    one.writeUIntBE(ms, 4, 6)
    one.writeUInt16BE(isLong ? long : seq, 10)
    if (isLong) one.writeUIntBE(seq, 12, 6)
    bytes.push(one)
  }
  return version + Buffer.concat(bytes).toString('base64url')
}

/** Throws `bad-request`. */
export function readToken(text: string): ReadonlyMap<number, Position> {
  const refuse = () =>
    new MillraceError('bad-request', 'Last-Event-ID is not an id that this stream gave; connect without it')
  if (text.length > mostCharacters || !/^1[\w-]*$/.test(text)) throw refuse()
  const bytes = Buffer.from(text.slice(1), 'base64url')
  const found = new Map<number, Position>()
  let at = 0
  while (at < bytes.length) {
    if (at + 12 > bytes.length) throw refuse()
    const [hash, ms, short] = [bytes.readUInt32BE(at), bytes.readUIntBE(at + 4, 6), bytes.readUInt16BE(at + 10)]
    at += 12
    if (short === long && at + 6 > bytes.length) throw refuse()
    found.set(hash, { ms, seq: short === long ? bytes.readUIntBE(at, 6) : short })
    if (short === long) at += 6
  }
  // The same bytes may be written in other ways; an id comes back exactly as it was given.
  if (writeToken(found) !== text) throw refuse()
  return found
}
