import { crc32 } from 'node:zlib'
import { dictionary } from './codec/dictionary.ts'
import { Lz4 } from './codec/lz4.ts'

/*
 * How payloads are stored: up to 1 KB as they are, larger ones compressed, in an object that BullMQ takes for a payload
 * like any other:
 *
 *   {"$millrace":"lz4-1","bytes":9400,"crc":1234567890,"data":"<base64>"}
 *
 * Measured on GitHub's 329 examples: 0.21 of the bytes, for 20 µs on the way in and as much on the way out, which is what
 * JSON.stringify and JSON.parse cost; on a Slack mention of 1,036 bytes 0.62, for 4 µs each. Less goes to the kernel then:
 * all in all, adding one of GitHub's costs us 43 instead of 30 µs, and redis-server 36 instead of 79; a mention costs the
 * edge no more than before. A payload that has "$millrace" itself at its top is wrapped, and so comes back as it was:
 *
 *   {"$millrace":"as-is","data":{"$millrace":"…"}}
 *
 * `lz4-1` means: LZ4 block, dictionary 1. Stored jobs are read by later versions, so neither ever changes; another
 * codec gets another name, and is to be read by every process before the first one writes it.
 */

/** A larger one would save no time that could be measured: 72 µs for each mention of 1,036 bytes at the edge, without 74. */
export const thresholdBytes = 1024
/** Larger ones are stored as they are: compressing would keep everybody else waiting for 10 ms and more. */
export const largestBytes = 4 * 1024 ** 2
/** Bounds what a damaged envelope, or a hostile store, could make us allocate. */
export const maxBytes = 64 * 1024 ** 2
/** LZ4 cannot expand more than this. */
const maxExpansion = 255
const marker = '$millrace'
const asIs = `{"${marker}":"as-is","data":`

const lz4 = new Lz4(dictionary)

/**
 * The text under which a payload is stored. `json` is the payload as JSON. Blocks for about as long as JSON.parse of the
 * same text, which has been done to it anyway: 2 ms for 0.8 MB, 5 ms for 2 MB. It needs no other thread.
 */
export function encode(json: string | Buffer): string {
  if (isWorthwhile(json)) {
    const { plain, packed } = lz4.compress(json)
    const data = packed.toString('base64')
    const text = `{"${marker}":"lz4-1","bytes":${plain.length},"crc":${crc32(plain)},"data":"${data}"}`
    if (text.length < plain.length) return text
  }
  const text = typeof json === 'string' ? json : json.toString()
  return looksEncoded(text) ? `${asIs}${text}}` : text
}

function isWorthwhile(json: string | Buffer): boolean {
  // Counted only where it matters: a character has one byte at least and three at most.
  const isCertain = typeof json !== 'string' || (json.length > thresholdBytes && json.length * 3 <= largestBytes)
  const bytes = isCertain ? json.length : Buffer.byteLength(json)
  return bytes > thresholdBytes && bytes <= largestBytes
}

/** The payload of what BullMQ read as a job's data. Throws when it is an envelope of ours that cannot be read. */
export function decode(data: unknown): unknown {
  if (!isEnvelope(data)) return data
  switch (data[marker]) {
    case 'as-is':
      return data.data
    case 'lz4-1':
      return JSON.parse(unpacked(data))
    default:
      throw new Error(`the stored payload is in a form that this version does not know: '${data[marker].slice(0, 40)}'`)
  }
}

/** As {@link decode}, for showing to people: what cannot be read is shown as it is stored. */
export function decodeOrStored(data: unknown): unknown {
  try {
    return decode(data)
  } catch {
    return data
  }
}

type Envelope = { readonly [marker]: string; readonly [field: string]: unknown }

function isEnvelope(data: unknown): data is Envelope {
  return (
    typeof data === 'object' &&
    data !== null &&
    Object.hasOwn(data, marker) &&
    typeof (data as Record<string, unknown>)[marker] === 'string'
  )
}

/** Whether decode would take it for an envelope. Parsed only when it may be one: a key can also be written with escapes. */
function looksEncoded(json: string): boolean {
  const isSuspect = json.includes(marker) || (json.includes('\\u00') && /\\u00(?:24|[67])/.test(json))
  return isSuspect && isEnvelope(JSON.parse(json))
}

/** As {@link decode}, as JSON text: byte by byte what was encoded. */
export function decodeText(stored: string): string {
  // Cut out, because numbers of many digits do not survive being parsed and written again.
  if (stored.startsWith(asIs)) return stored.slice(asIs.length, -1)
  const data: unknown = JSON.parse(stored)
  return isEnvelope(data) && data[marker] === 'lz4-1' ? unpacked(data) : stored
}

function unpacked({ bytes, crc, data }: Envelope): string {
  if (typeof bytes !== 'number' || !Number.isInteger(bytes) || bytes < 1 || typeof data !== 'string')
    throw damaged('its envelope is incomplete')
  if (bytes > maxBytes) throw damaged(`it says that it has ${bytes} bytes, which is more than ${maxBytes}`)
  if (bytes > data.length * maxExpansion) throw damaged(`it cannot come to ${bytes} bytes`)
  let plain: Buffer
  try {
    plain = lz4.decompress(Buffer.from(data, 'base64'), bytes)
  } catch {
    throw damaged('it cannot be decompressed')
  }
  // Also what tells that somebody changed the dictionary, or that our LZ4 is wrong: better no payload than another one.
  if (crc32(plain) !== crc) throw damaged('its checksum differs')
  return plain.toString()
}

function damaged(how: string): Error {
  return new Error(`the stored payload is damaged: ${how}`)
}
