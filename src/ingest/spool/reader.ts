import { type FileHandle, open } from 'node:fs/promises'
import { decodeHeader, isWhole, markerOf, recordHeaderBytes, segmentHeaderBytes } from './record.ts'

const chunkBytes = 1024 ** 2

export type Entry = {
  readonly record: Buffer
  /** When it was appended, in milliseconds since the epoch. */
  readonly time: number
  /** Where it begins in its segment. */
  readonly at: number
}

/**
 * How a segment ended. `torn`: a write that was cut off and so never acknowledged. `damaged`: anything else, that is,
 * something acknowledged may be in the bytes from `at` on.
 */
export type Ending = { readonly kind: 'whole' | 'torn' | 'damaged'; readonly at: number }

/**
 * The records of a segment in order, up to byte `end` at most, and how it ended. Holds one chunk of it in memory, or one
 * record that is larger. Throws what the disk throws.
 */
export async function* readSegment(path: string, end: number): AsyncGenerator<Entry, Ending, undefined> {
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    const limit = Math.min(end, size)
    const bytes = chunked(handle, limit)
    const marker = markerOf(await bytes(0, segmentHeaderBytes))
    if (!marker) return { kind: limit < segmentHeaderBytes || (await isZero(bytes, 0)) ? 'torn' : 'damaged', at: 0 }

    let at = segmentHeaderBytes
    while (at < limit) {
      const header = decodeHeader(marker, await bytes(at, recordHeaderBytes))
      const runsOver = limit - at < recordHeaderBytes || (header && header.length > limit - at - recordHeaderBytes)
      if (!header || runsOver) return await ending(bytes, marker, at, runsOver === true)
      const whole = await bytes(at, recordHeaderBytes + header.length)
      const record = whole.subarray(recordHeaderBytes)
      if (record.length !== header.length || !isWhole(whole, record)) return await ending(bytes, marker, at, false)
      yield { record, time: header.time, at }
      at += whole.length
    }
    // Shorter than what was acknowledged: somebody else has cut it.
    return { kind: limit < end ? 'torn' : 'whole', at }
  } finally {
    await handle.close()
  }
}

/** Bytes of the file; fewer than asked for only at its end. */
type Bytes = (at: number, length: number) => Promise<Buffer>

async function ending(bytes: Bytes, marker: Buffer, at: number, runsOver: boolean): Promise<Ending> {
  const isTorn = !(await holds(bytes, marker, at + 1)) && (runsOver || (await isZero(bytes, at)))
  return { kind: isTorn ? 'torn' : 'damaged', at }
}

async function holds(bytes: Bytes, marker: Buffer, from: number): Promise<boolean> {
  const step = chunkBytes - marker.length + 1 // chunks overlap, for a marker that lies across two
  for (let at = from; ; at += step) {
    const chunk = await bytes(at, chunkBytes)
    if (chunk.includes(marker)) return true
    if (chunk.length < chunkBytes) return false
  }
}

/** What a file system shows that had made the file longer before the data came to the disk. */
async function isZero(bytes: Bytes, from: number): Promise<boolean> {
  for (let at = from; ; at += chunkBytes) {
    const chunk = await bytes(at, chunkBytes)
    if (chunk.some((byte) => byte !== 0)) return false
    if (chunk.length < chunkBytes) return true
  }
}

function chunked(handle: FileHandle, size: number): Bytes {
  let chunk: Buffer = Buffer.alloc(0)
  let start = 0
  return async (at, length) => {
    const wanted = Math.max(0, Math.min(length, size - at))
    if (at < start || at + wanted > start + chunk.length) {
      chunk = await readAt(handle, at, Math.min(size - at, Math.max(wanted, chunkBytes)))
      start = at
    }
    return chunk.subarray(at - start, at - start + wanted)
  }
}

async function readAt(handle: FileHandle, at: number, length: number): Promise<Buffer> {
  // A new one each time: records are cut out of it without copying.
  const buffer = Buffer.allocUnsafeSlow(length)
  let got = 0
  while (got < length) {
    const { bytesRead } = await handle.read(buffer, got, length - got, at + got)
    if (bytesRead === 0) break
    got += bytesRead
  }
  return buffer.subarray(0, got)
}
