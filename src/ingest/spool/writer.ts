import { MillraceError, messageOf } from '../../errors.ts'
import { within } from './deadline.ts'
import { recordHeaderBytes } from './record.ts'
import { type OpenFile, type Segment, SegmentFile } from './segment.ts'
import type { Shelf } from './shelf.ts'

/** A segment takes no more than this, but for one record that is larger by itself. */
const segmentBytes = 4 * 1024 ** 2
/** How finely the deadline is kept. */
const sweepMs = 50

type Pending = {
  readonly record: Buffer
  readonly time: number
  readonly deadline: number
  readonly resolve: () => void
  readonly reject: (error: MillraceError) => void
}

export type WriterOptions = {
  readonly shelf: Shelf
  readonly deadlineMs: number
  readonly now: () => number
  /** Where the next segment goes. Throws when there is no folder. */
  readonly place: () => { dir: string; path: string }
  readonly openFile?: OpenFile | undefined
  /** After each write: what went wrong, undefined when nothing did. */
  readonly onWritten: (error: unknown) => void
}

/**
 * Writes in groups: what is appended in one turn of the event loop, or while a write is under way, goes out with the next
 * single write and single fdatasync. Nothing is acknowledged before that.
 */
export class Writer {
  readonly #options: WriterOptions
  #file: SegmentFile | undefined
  #waiting: Pending[] = []
  #inFlight = new Set<Pending>()
  /** Bytes in memory: of a write that hangs too, though its callers have long been answered. */
  #pendingBytes = 0
  #scheduled = false
  #sweeper: NodeJS.Timeout | undefined
  /** Everything that touches the file, one after the other. */
  #tail: Promise<void> = Promise.resolve()
  /** When the step that is under way began; 0 while there is none. */
  #since = 0

  constructor(options: WriterOptions) {
    this.#options = options
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  /** Resolves when it is on the disk. Rejects with `spool-unavailable`, at the deadline at the latest. */
  append(record: Buffer): Promise<void> {
    const { deadlineMs, now } = this.#options
    const hangs = this.#since > 0 && performance.now() - this.#since > deadlineMs
    // Whoever waits for a disk that hangs waits for nothing, and holds memory.
    if (hangs) return Promise.reject(unavailable(`the disk has not answered for more than ${deadlineMs} ms`))
    return new Promise((resolve, reject) => {
      this.#waiting.push({ record, time: now(), deadline: performance.now() + deadlineMs, resolve, reject })
      this.#pendingBytes += sizeOf(record)
      this.#schedule()
      this.#sweeper ??= setInterval(() => this.#sweep(performance.now()), sweepMs)
    })
  }

  /** What was written so far is in its segment for good; later appends go to another. Default: whichever is written. */
  seal(segment?: Segment): Promise<void> {
    return this.#exclusive(async () => {
      if (!segment || this.#file?.segment === segment) await this.#retire(false)
    })
  }

  /** Writes what waits, and rejects what is not on the disk after `ms` milliseconds. */
  async close(ms: number): Promise<void> {
    const closed = this.#exclusive(async () => {
      while (this.#waiting.length > 0) await this.#write()
      await this.#retire(false)
    })
    await within(ms, closed)
    this.#sweep(Number.POSITIVE_INFINITY)
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      void this.#exclusive(async () => {
        this.#scheduled = false
        await this.#write()
        if (this.#waiting.length > 0) this.#schedule()
      })
    })
  }

  async #write(): Promise<void> {
    const group = await this.#take()
    if (group.length === 0) return
    const bytes = sumOf(group)
    this.#inFlight = new Set(group)
    try {
      this.#file ??= await this.#create()
      const { segment } = this.#file
      if (segment.bytes === 0) segment.oldest = group[0]?.time ?? segment.oldest
      const added = await this.#file.append(group)
      // Before anybody is told: a drain that is woken by this finds it.
      this.#options.shelf.grow(segment, group.length, added)
      for (const { resolve } of group) resolve()
      this.#options.onWritten(undefined)
    } catch (error) {
      const refusal = unavailable(`the disk did not take it: ${messageOf(error)}`, error)
      for (const { reject } of group) reject(refusal)
      this.#options.onWritten(error)
      await this.#retire(true)
    } finally {
      this.#inFlight.clear()
      this.#pendingBytes -= bytes
    }
  }

  /** As much of what waits as the segment has room for; when not even the first fits, the next segment is begun. */
  async #take(): Promise<Pending[]> {
    const [first] = this.#waiting
    if (!first) return []
    if (this.#file && this.#file.segment.bytes + sizeOf(first.record) > segmentBytes) await this.#retire(false)
    let bytes = this.#file?.segment.bytes ?? 0
    let count = 0
    for (const { record } of this.#waiting) {
      bytes += sizeOf(record)
      if (count > 0 && bytes > segmentBytes) break
      count += 1
    }
    return this.#waiting.splice(0, count)
  }

  async #create(): Promise<SegmentFile> {
    const { place, openFile, shelf, now } = this.#options
    const { dir, path } = place()
    const segment: Segment = { path, bytes: 0, events: 0, oldest: now(), exact: true }
    const file = await SegmentFile.create(dir, segment, openFile)
    shelf.add(segment)
    return file
  }

  async #retire(failed: boolean): Promise<void> {
    const file = this.#file
    this.#file = undefined
    if (!file) return
    // A full disk must not be filled with empty files, one for each append that it refuses.
    if (file.segment.bytes === 0) this.#options.shelf.remove(file.segment)
    await file.close({ failed })
  }

  #exclusive(work: () => Promise<void>): Promise<void> {
    const done = this.#tail.then(async () => {
      this.#since = performance.now()
      try {
        await work()
      } finally {
        this.#since = 0
      }
    })
    this.#tail = done.catch(() => {})
    return done
  }

  /** A disk that hangs gives neither answer nor error; whoever waits gets one at the deadline. */
  #sweep(now: number): void {
    const late = (pending: Pending) => pending.deadline <= now
    const refusal = unavailable(`the disk did not answer within ${this.#options.deadlineMs} ms`)
    for (const pending of [...this.#inFlight].filter(late)) {
      this.#inFlight.delete(pending)
      pending.reject(refusal)
    }
    const dropped = this.#waiting.filter(late)
    if (dropped.length > 0) this.#waiting = this.#waiting.filter((pending) => !late(pending))
    this.#pendingBytes -= sumOf(dropped)
    for (const { reject } of dropped) reject(refusal)
    if (this.#inFlight.size + this.#waiting.length > 0) return
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }
}

/** `retryAfter` in seconds: a full disk takes longer to mend than a slow one. */
export function unavailable(detail: string, cause?: unknown): MillraceError {
  return new MillraceError('spool-unavailable', detail, {
    cause,
    retryAfter: /full|ENOSPC|EDQUOT/.test(detail) ? 10 : 2,
  })
}

export function sizeOf(record: Buffer): number {
  return recordHeaderBytes + record.length
}

function sumOf(group: readonly Pending[]): number {
  return group.reduce((sum, { record }) => sum + sizeOf(record), 0)
}
