import type { Worker as BullWorker } from 'bullmq'

/** Why a worker takes no jobs for a while. */
type Cause = 'refused' | 'breaker'

/** What a process takes of a queue. Several may hold it back at once; it goes on when the last of them lets go. */
export class Intake {
  readonly #bull: BullWorker
  readonly #held = new Set<Cause>()

  constructor(bull: BullWorker) {
    this.#bull = bull
  }

  isHeld(cause: Cause): boolean {
    return this.#held.has(cause)
  }

  /** Jobs in hand go on. One that is just being fetched still comes. */
  async hold(cause: Cause): Promise<void> {
    this.#held.add(cause)
    if (!this.#bull.closing) await this.#bull.pause(true)
  }

  release(cause: Cause): void {
    if (this.#held.delete(cause) && this.#held.size === 0 && !this.#bull.closing) void this.#bull.resume()
  }

  /** At most so many in hand. */
  narrow(concurrency: number): void {
    this.#bull.concurrency = concurrency
  }
}
