import { type Job as BullJob, Worker as BullWorker } from 'bullmq'

/**
 * BullMQ's worker, and what it does not tell: that it fetches, and which jobs are its own. A job is held from the store's
 * answer that hands it out until BullMQ has stored what became of it; our own bookkeeping covers only the handler's part.
 */
export class Consumer extends BullWorker {
  /** Answers of the store to a fetch so far, those without a job included. */
  fetches = 0
  /** Job → how often, because a job put back can be here again before its last run has ended in all its parts. */
  readonly #held = new Map<string, number>()

  holds(id: string): boolean {
    return this.#held.has(id)
  }

  /** Whether it does not fetch on purpose: paused by us, or told by the store to wait for a rate limit. */
  get isResting(): boolean {
    const { limitUntil = 0 } = this as unknown as { limitUntil?: number }
    return this.isPaused() || limitUntil > Date.now()
  }

  protected override async nextJobFromJobData(
    ...answer: Parameters<BullWorker['nextJobFromJobData']>
  ): Promise<BullJob> {
    this.fetches += 1
    const [data, id] = answer
    if (!data || id === undefined) return super.nextJobFromJobData(...answer)
    this.#take(id)
    const job = await super.nextJobFromJobData(...answer)
    if (!job) this.#drop(id)
    return job
  }

  override async processJob(...what: Parameters<BullWorker['processJob']>): ReturnType<BullWorker['processJob']> {
    try {
      return await super.processJob(...what)
    } finally {
      this.#drop(what[0].id ?? '')
    }
  }

  #take(id: string): void {
    this.#held.set(id, (this.#held.get(id) ?? 0) + 1)
  }

  #drop(id: string): void {
    const left = (this.#held.get(id) ?? 1) - 1
    if (left > 0) this.#held.set(id, left)
    else this.#held.delete(id)
  }
}
