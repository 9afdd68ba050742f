import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { MillraceError, messageOf } from '../errors.ts'
import type { Logger } from '../observe/log.ts'
import { within } from './spool/deadline.ts'
import { Drain } from './spool/drain.ts'
import { Owner } from './spool/owner.ts'
import { readSegment } from './spool/reader.ts'
import type { OpenFile } from './spool/segment.ts'
import { Shelf } from './spool/shelf.ts'
import { sizeOf, unavailable, Writer } from './spool/writer.ts'

/** Between looks for what dead processes have left. */
const adoptMs = 5_000

export type SpoolOptions = {
  /** Shared by all processes of one machine; on a local disk (see spool/owner.ts). */
  readonly dir: string
  /** Bytes that may wait, of this process and of what it has adopted. 0: nothing is taken, but what is left is drained. */
  readonly limit: number
  readonly log: Logger
  /**
   * Takes one record; called in order, up to 128 under way at once, and with some records more than once: it has to
   * recognise repetitions. Rejects with `store-unavailable` to get the record again; after any other error it is set aside.
   */
  readonly drain: (record: Buffer) => Promise<void>
  readonly metrics?: SpoolMetrics
  /** Milliseconds since the epoch. Default: Date.now */
  readonly now?: () => number
  /** By when an append settles, in milliseconds. Default: 1500 */
  readonly deadlineMs?: number
  /** Between looks for folders of dead processes, in milliseconds. Default: 5000 */
  readonly adoptMs?: number
  /** How segments are opened for writing. Default: that of node:fs/promises */
  readonly openFile?: OpenFile
}

export type SpoolMetrics = {
  /** `damaged`: records and segments that were set aside. */
  readonly count: (outcome: 'spooled' | 'refused' | 'drained' | 'damaged', events: number) => void
}

export type SpoolStats = {
  /** Records that are not yet drained. */
  readonly events: number
  /** Of their files. */
  readonly bytes: number
  readonly limit: number
  /** 0 when there is none. */
  readonly oldestAgeMs: number
  /** Whether the store takes them at the moment; false while it is away. */
  readonly draining: boolean
  /** What the disk refused last, until it works again. */
  readonly trouble?: string
}

/**
 * Keeps events on the local disk that were accepted while the store was away, and hands them over when it is back. What
 * `append` has acknowledged survives kill -9 and power failure, and comes to `drain` at least once.
 */
export class Spool {
  readonly name = 'spool'
  readonly #options: SpoolOptions
  readonly #now: () => number
  readonly #owner: Owner
  readonly #shelf = new Shelf()
  readonly #writer: Writer
  readonly #drain: Drain
  readonly #troubles = new Map<'folder' | 'disk', string>()
  readonly #adopted = new Set<string>()
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined
  #state: 'new' | 'running' | 'stopped' = 'new'

  constructor(options: SpoolOptions) {
    const { log, drain, metrics, openFile, deadlineMs = 1_500, now = Date.now } = options
    const root = resolve(options.dir)
    this.#options = options
    this.#now = now
    this.#owner = new Owner(root)
    this.#writer = new Writer({
      shelf: this.#shelf,
      deadlineMs,
      now,
      openFile,
      place: () => ({ dir: this.#owner.dir, path: this.#owner.nextSegment(now()) }),
      onWritten: (error) => {
        this.#tell('disk', error)
        if (error === undefined) this.#drain.kick()
      },
    })
    this.#drain = new Drain({
      root,
      shelf: this.#shelf,
      log,
      deliver: async (record) => drain(record),
      seal: (segment) => this.#writer.seal(segment),
      onTaken: (events) => metrics?.count('drained', events),
      onSetAside: () => metrics?.count('damaged', 1),
    })
  }

  /**
   * Makes this process's folder, adopts what dead ones have left and begins to drain it. A disk that refuses does not
   * keep the process from starting: it is in the log and in `stats().trouble`, and tried again every few seconds.
   */
  async start(): Promise<void> {
    const { limit, dir } = this.#options
    if (this.#state !== 'new') return
    // Switched off there may still be something from before.
    if (limit === 0 && !(await stat(dir).catch(() => undefined))) return
    this.#state = 'running'
    await this.#look()
    this.#timer = setInterval(() => void this.#look(), this.#options.adoptMs ?? adoptMs).unref()
  }

  /** What is not drained stays for the next. `deadline` is in milliseconds since the epoch. */
  async stop(deadline: number): Promise<void> {
    if (this.#state !== 'running') return
    this.#state = 'stopped'
    clearInterval(this.#timer)
    const left = () => deadline - Date.now()
    await within(left(), this.#looking)
    await Promise.all([this.#writer.close(left()), within(left(), this.#drain.stop())])
    // Last: from here on the folder may be another's.
    await within(left(), this.#owner.release())
  }

  /** Resolves when the record is on the disk. Rejects with `spool-unavailable`, after `deadlineMs` at the latest. */
  async append(record: Buffer): Promise<void> {
    const { metrics } = this.#options
    try {
      this.#admit(sizeOf(record))
      await this.#writer.append(record)
    } catch (error) {
      metrics?.count('refused', 1)
      throw error
    }
    metrics?.count('spooled', 1)
  }

  stats(): SpoolStats {
    const { first, events, bytes } = this.#shelf
    const trouble = [...this.#troubles.values(), this.#drain.trouble].find(Boolean)
    return {
      events,
      bytes,
      limit: this.#options.limit,
      oldestAgeMs: first && events > 0 ? Math.max(0, this.#now() - first.oldest) : 0,
      draining: this.#drain.isDelivering,
      ...(trouble === undefined ? {} : { trouble }),
    }
  }

  /** The store may be back: no need to wait for the next try. */
  wake(): void {
    this.#drain.wake()
  }

  #admit(bytes: number): void {
    const { limit } = this.#options
    if (limit === 0) throw unavailable('the spool is switched off')
    if (this.#state !== 'running') throw unavailable('the spool is not running')
    const used = this.#shelf.bytes + this.#writer.pendingBytes
    if (used + bytes > limit) throw unavailable(`the spool is full: ${used} of ${limit} bytes are in use`)
  }

  /** One look at a time: what it moves it moves once. */
  #look(): Promise<void> {
    this.#looking ??= this.#adopt()
      .then(() => this.#tell('folder', undefined))
      .catch((error: unknown) => this.#tell('folder', error))
      .finally(() => {
        this.#looking = undefined
        this.#drain.kick()
      })
    return this.#looking
  }

  async #adopt(): Promise<void> {
    // The file that is written went with the folder: what were appended to it now would be nowhere.
    if (await this.#owner.claim()) await this.#writer.seal()
    const fresh = (await this.#owner.adopt()).filter((path) => !this.#adopted.has(path))
    for (const path of fresh) {
      const { size } = await stat(path)
      this.#shelf.add({ path, bytes: size, exact: false, ...(await survey(path, size, this.#now())) })
      // For good: one that is just being removed may still have been listed.
      this.#adopted.add(path)
    }
    if (fresh.length > 0)
      this.#options.log.info({ segments: fresh.length, events: this.#shelf.events }, 'spool: adopted events')
  }

  /** One line when it begins and one when it is over, not one for each append. */
  #tell(what: 'folder' | 'disk', error: unknown): void {
    const before = this.#troubles.get(what)
    if (error === undefined) {
      this.#troubles.delete(what)
      if (before !== undefined) this.#options.log.info(`spool: the ${what} works again`)
      return
    }
    const why = error instanceof MillraceError ? error.message : messageOf(error)
    this.#troubles.set(what, why)
    if (before === undefined) this.#options.log.error({ err: error }, `spool: the ${what} failed`)
  }
}

/** How many records can be read, and the time of the first. What cannot be read is the drain's to tell. */
async function survey(path: string, bytes: number, now: number): Promise<{ events: number; oldest: number }> {
  let events = 0
  let oldest = now
  try {
    for await (const { time } of readSegment(path, bytes)) {
      if (events === 0) oldest = time
      events += 1
    }
  } catch {
    // the drain meets it again
  }
  return { events, oldest }
}
