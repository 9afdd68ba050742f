import { randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'

/*
 * The format of a segment; numbers are little-endian.
 *
 *     segment   "MRSPOOL1" (8)   marker (8)   record*
 *     record    marker (8)   crc32 (4)   length (4)   time, ms since the epoch (8)   bytes
 *
 * The marker is random and new for each segment, so that no payload can contain it: where it is found, a record begins.
 * That tells a torn tail from damage with more records behind it. The checksum is over everything that follows it, for a
 * length gone wrong must not be believed. Whoever changes the format gives it a new magic: segments outlive versions.
 */

const magic = Buffer.from('MRSPOOL1')
export const markerBytes = 8
export const segmentHeaderBytes = magic.length + markerBytes
export const recordHeaderBytes = markerBytes + 16

export type Header = { readonly length: number; readonly time: number }

/** A segment's first bytes, with a marker of its own. */
export function createSegmentHeader(): Buffer {
  return Buffer.concat([magic, randomBytes(markerBytes)])
}

/** The marker of the segment that begins so; undefined when it is none of this version's. */
export function markerOf(segmentHeader: Buffer): Buffer | undefined {
  if (segmentHeader.length < segmentHeaderBytes || !segmentHeader.subarray(0, magic.length).equals(magic)) return
  return segmentHeader.subarray(magic.length, segmentHeaderBytes)
}

/** What goes before the record's bytes. `time` is in milliseconds since the epoch. */
export function encodeHeader(marker: Buffer, record: Buffer, time: number): Buffer {
  const header = Buffer.allocUnsafe(recordHeaderBytes)
  marker.copy(header)
  header.writeUInt32LE(record.length, markerBytes + 4)
  header.writeBigUInt64LE(BigInt(Math.max(0, Math.trunc(time))), markerBytes + 8)
  header.writeUInt32LE(checksum(header, record), markerBytes)
  return header
}

/** Undefined when no record begins here. What it says is to be believed only when `isWhole`. */
export function decodeHeader(marker: Buffer, header: Buffer): Header | undefined {
  if (header.length < recordHeaderBytes || marker.compare(header, 0, markerBytes) !== 0) return
  return {
    length: header.readUInt32LE(markerBytes + 4),
    time: Number(header.readBigUInt64LE(markerBytes + 8)),
  }
}

/** Whether header and bytes are those that were written. */
export function isWhole(header: Buffer, record: Buffer): boolean {
  return header.readUInt32LE(markerBytes) === checksum(header, record)
}

function checksum(header: Buffer, record: Buffer): number {
  return crc32(record, crc32(header.subarray(markerBytes + 4, recordHeaderBytes)))
}
