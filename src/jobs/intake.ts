import type { Worker as BullWorker } from 'bullmq'
import type { Logger } from '../observe/log.ts'

/** A store that refuses writes is asked again after this. BullMQ would ask without any pause: 9,000 errors a second. */
const refusedPauseMs = 2_000

/** Why a worker takes no jobs for a while. */
type Cause = 'refused' | 'breaker'

/** What a process takes of a queue. Several may hold it back at once; it goes on when the last of them lets go. */
export class Intake {
  #bull: BullWorker
  readonly #held = new Set<Cause>()

  constructor(bull: BullWorker) {
    this.#bull = bull
  }

  /** What holds for one consumer holds for the one that takes its place. */
  moveTo(bull: BullWorker): void {
    bull.concurrency = this.#bull.concurrency
    this.#bull = bull
    if (this.#held.size > 0) void bull.pause(true)
  }

  isHeld(cause: Cause): boolean {
    return this.#held.has(cause)
  }

  /** Jobs in hand go on. One that is just being fetched still comes. */
  async hold(cause: Cause): Promise<void> {
    this.#held.add(cause)
    if (!this.#bull.closing) await this.#bull.pause(true)
  }

  /** Called for each refusal; says so once. */
  async restAfter(refusal: Error, log: Logger): Promise<void> {
    if (this.isHeld('refused') || this.#bull.closing) return
    log.error({ err: refusal }, `the queue store refuses writes; fetching again in ${refusedPauseMs} ms`)
    await this.hold('refused')
    setTimeout(() => this.release('refused'), refusedPauseMs).unref()
  }

  release(cause: Cause): void {
    if (this.#held.delete(cause) && this.#held.size === 0 && !this.#bull.closing) void this.#bull.resume()
  }

  /** At most so many in hand. */
  narrow(concurrency: number): void {
    this.#bull.concurrency = concurrency
  }
}
