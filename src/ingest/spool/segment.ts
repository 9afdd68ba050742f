import { type FileHandle, open, rm } from 'node:fs/promises'
import { fsyncDir } from './folder.ts'
import { createSegmentHeader, encodeHeader, markerOf } from './record.ts'

/** A segment on the disk that is not yet drained. */
export type Segment = {
  readonly path: string
  /** Up to where it counts. Of one written here: up to the last acknowledged byte, whatever the file has behind it. */
  bytes: number
  /** Records that are not yet taken. */
  events: number
  /** When the first of those was appended, in milliseconds since the epoch. */
  oldest: number
  /** Written here, so that `bytes` is known to end with a record; an adopted one may have a torn tail. */
  readonly exact: boolean
}

export type Appended = { readonly record: Buffer; readonly time: number }

export type OpenFile = (path: string, flags: string, mode: number) => Promise<FileHandle>

/**
 * The segment that is being written. After any failure it must be retired: of pages whose fdatasync failed the kernel
 * may know nothing more, and a second fdatasync would then report success for what is not there.
 */
export class SegmentFile {
  readonly #handle: FileHandle
  readonly #dir: string
  readonly #header = createSegmentHeader()
  readonly #segment: Segment

  private constructor(handle: FileHandle, dir: string, segment: Segment) {
    this.#handle = handle
    this.#dir = dir
    this.#segment = segment
  }

  /** A new file; nothing of it counts before the first append. */
  static async create(dir: string, segment: Segment, openFile: OpenFile = open): Promise<SegmentFile> {
    return new SegmentFile(await openFile(segment.path, 'wx', 0o600), dir, segment)
  }

  get segment(): Segment {
    return this.#segment
  }

  /** One write, one fdatasync; resolves with the bytes added when all of it is on the disk. */
  async append(group: readonly Appended[]): Promise<number> {
    const marker = markerOf(this.#header) as Buffer
    const parts = group.flatMap(({ record, time }) => [encodeHeader(marker, record, time), record])
    const isFirst = this.#segment.bytes === 0
    const bytes = Buffer.concat(isFirst ? [this.#header, ...parts] : parts)
    const { bytesWritten } = await this.#handle.write(bytes, 0, bytes.length, this.#segment.bytes)
    // How a disk that is nearly full answers; the next write would be refused.
    if (bytesWritten !== bytes.length)
      throw new Error(`only ${bytesWritten} of ${bytes.length} bytes were written: the disk is full`)
    await this.#handle.datasync()
    // Without this the file itself may be gone after a power failure, with everything acknowledged in it.
    if (isFirst) await fsyncDir(this.#dir)
    return bytes.length
  }

  /** Closes it for good. Throws nothing: what the disk refuses here changes nothing about what is acknowledged. */
  async close({ failed = false } = {}): Promise<void> {
    try {
      if (this.#segment.bytes === 0) await rm(this.#segment.path, { force: true })
      else if (failed) await this.#handle.truncate(this.#segment.bytes)
    } catch {
      // `bytes` says to the reader where to stop; after a crash the rest comes too, and is recognised as a repetition
    }
    await this.#handle.close().catch(() => {})
  }
}
