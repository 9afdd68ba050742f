import { rm, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { MillraceError, messageOf } from '../../errors.ts'
import type { Logger } from '../../observe/log.ts'
import { setRecordAside, setSegmentAside } from './damaged.ts'
import { codeOf } from './folder.ts'
import { type Ending, type Entry, readSegment } from './reader.ts'
import type { Segment } from './segment.ts'
import type { Shelf } from './shelf.ts'

/** Records under way at once; as many as one batch of the producer takes. */
const windowSize = 128
const awayMinMs = 250
const awayMaxMs = 2_000

export type DrainOptions = {
  readonly root: string
  readonly shelf: Shelf
  readonly log: Logger
  /** Rejects with `store-unavailable` when a later try makes sense; with anything else when none does. */
  readonly deliver: (record: Buffer) => Promise<void>
  /** Nothing is written to the segment any more once this has resolved. */
  readonly seal: (segment: Segment) => Promise<void>
  readonly onTaken: (events: number) => void
  readonly onSetAside: () => void
}

/** Hands over what the shelf holds, oldest first, and removes a segment when all of it was taken. */
export class Drain {
  readonly #options: DrainOptions
  /** With records in them that were refused and could not be set aside one by one. */
  readonly #spoiled = new WeakSet<Segment>()
  #running: Promise<void> | undefined
  #stopping = false
  #woken = false
  #endPause: (() => void) | undefined
  isDelivering = false
  trouble: string | undefined

  constructor(options: DrainOptions) {
    this.#options = options
  }

  /** There is something on the shelf. */
  kick(): void {
    if (this.#stopping || this.#running || !this.#options.shelf.first) return
    this.#running = this.#run().finally(() => {
      this.#running = undefined
      this.isDelivering = false
      this.kick() // came between the last look and now
    })
  }

  /** The store may be back: the next try is made at once. */
  wake(): void {
    this.#woken = true
    this.#endPause?.()
  }

  /** Resolves when the window that is under way has settled. */
  async stop(): Promise<void> {
    this.#stopping = true
    this.wake()
    await this.#running
  }

  async #run(): Promise<void> {
    for (let segment = this.#options.shelf.first; segment && !this.#stopping; segment = this.#options.shelf.first) {
      try {
        await this.#drain(segment)
      } catch (error) {
        await this.#failed(segment, error)
      }
    }
  }

  async #drain(segment: Segment): Promise<void> {
    const { shelf, seal } = this.#options
    // An adopted one nobody writes to; it need not wait for a disk that hangs.
    if (segment.exact) await seal(segment)
    if (segment.bytes === 0) {
      await rm(segment.path, { force: true })
      return shelf.remove(segment)
    }
    const entries = readSegment(segment.path, segment.bytes)
    try {
      for (;;) {
        const { window, ending } = await nextWindow(entries)
        if (!(await this.#handOver(segment, window))) return
        if (ending) {
          // An owner that only looked dead may write on until it notices. What it has acknowledged goes out as well.
          const grown = segment.exact ? 0 : (await stat(segment.path)).size - segment.bytes
          if (grown > 0) return shelf.grow(segment, 0, grown)
          if (!this.#spoiled.has(segment)) this.trouble = undefined
          await this.#finish(segment, ending)
          return shelf.remove(segment)
        }
      }
    } finally {
      await entries.return({ kind: 'whole', at: 0 })
    }
  }

  /** False when it was stopped before all of the window was taken. */
  async #handOver(segment: Segment, window: readonly Entry[]): Promise<boolean> {
    let left = window
    let waitMs = awayMinMs
    let isAway = false
    while (left[0] && !this.#stopping) {
      segment.oldest = left[0].time
      this.isDelivering = !isAway
      // To a store that was away one record goes alone, lest each try cost it a whole window.
      const tried: readonly Entry[] = isAway ? left.slice(0, 1) : left
      const answers: boolean[] = await Promise.all(tried.map((entry) => this.#offer(segment, entry)))
      const taken = new Set(tried.filter((_, i) => answers[i]))
      left = left.filter((entry) => !taken.has(entry))
      this.#options.shelf.took(segment, taken.size)
      isAway = taken.size < tried.length
      this.isDelivering = !isAway
      if (!isAway) waitMs = awayMinMs
      else waitMs = (await this.#pause(waitMs)) ? awayMinMs : Math.min(waitMs * 2, awayMaxMs)
    }
    return left.length === 0
  }

  /** False when it has to be offered again. */
  async #offer(segment: Segment, entry: Entry): Promise<boolean> {
    const { root, log, deliver, onTaken, onSetAside } = this.#options
    try {
      await deliver(entry.record)
      onTaken(1)
      return true
    } catch (error) {
      if (error instanceof MillraceError && error.code === 'store-unavailable') return false
      // Not its message: those of parsers quote what they could not read.
      const why = error instanceof MillraceError ? `${error.code}: ${error.message}` : nameOf(error)
      try {
        const file = await setRecordAside(root, segment.path, entry)
        log.error({ why, file }, 'spool: a record was refused and set aside')
        onSetAside()
      } catch (failure) {
        // A full disk becomes empty by draining, so that goes on; the whole segment is kept instead.
        this.#note(segment, failure)
        this.#spoiled.add(segment)
      }
      return true
    }
  }

  async #finish(segment: Segment, ending: Ending): Promise<void> {
    // A write that was cut off ends an adopted segment. Ours ends where the last one was acknowledged.
    const isDamaged = ending.kind === 'damaged' || (ending.kind === 'torn' && segment.exact)
    try {
      if (isDamaged || this.#spoiled.has(segment)) return await this.#setAside(segment, ending.at)
      if (ending.kind === 'torn') {
        const lost = { segment: basename(segment.path), at: ending.at, bytes: segment.bytes - ending.at }
        this.#options.log.warn(lost, 'spool: dropped a torn write')
      }
      await rm(segment.path, { force: true })
    } catch (error) {
      // It stays where it is, for the next start: to drain it over and over would not help.
      this.#note(segment, error)
    }
  }

  async #setAside(segment: Segment, at: number, why?: string): Promise<void> {
    const file = await setSegmentAside(this.#options.root, segment.path)
    this.#options.log.error({ file, at, ...(why ? { why } : {}) }, 'spool: a segment was set aside')
    this.#options.onSetAside()
  }

  /** The disk fails. A segment that cannot be read must not keep the others. */
  async #failed(segment: Segment, error: unknown): Promise<void> {
    const { shelf } = this.#options
    this.isDelivering = false
    this.#note(segment, error)
    if (codeOf(error) === 'EIO')
      await this.#setAside(segment, 0, messageOf(error)).catch(() => {}) // it stays where it is, for the next start
    else if (codeOf(error) !== 'ENOENT') return void (await this.#pause(awayMaxMs))
    shelf.remove(segment)
  }

  #note(segment: Segment, error: unknown): void {
    const why = messageOf(error)
    if (this.trouble !== why)
      this.#options.log.error({ err: error, segment: basename(segment.path) }, 'spool: draining failed')
    this.trouble = why
  }

  /** True when it was ended by `wake`. */
  #pause(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer)
        this.#endPause = undefined
        const woken = this.#woken
        this.#woken = false
        resolve(woken)
      }
      const timer = setTimeout(end, ms)
      this.#endPause = end
      // Woken while the try was under way: it may have failed before the store came back.
      if (this.#woken) end()
    })
  }
}

async function nextWindow(entries: AsyncGenerator<Entry, Ending>): Promise<{ window: Entry[]; ending?: Ending }> {
  const window: Entry[] = []
  while (window.length < windowSize) {
    const next = await entries.next()
    if (next.done) return { window, ending: next.value }
    window.push(next.value)
  }
  return { window }
}

function nameOf(error: unknown): string {
  const code = codeOf(error)
  return `${error instanceof Error ? error.name : typeof error}${code ? ` ${code}` : ''}`
}
