import type { Logger } from '../observe/log.ts'
import { type Attempt, AttemptAborted } from './attempt.ts'

/** The attempts that a process is at, by the id of their job. */
export class InHand {
  readonly #attempts = new Map<string, Attempt>()
  readonly #log: Logger

  constructor(log: Logger) {
    this.#log = log
  }

  get size(): number {
    return this.#attempts.size
  }

  get ids(): string[] {
    return [...this.#attempts.keys()]
  }

  add(id: string, attempt: Attempt): void {
    this.#attempts.set(id, attempt)
  }

  delete(id: string): void {
    this.#attempts.delete(id)
  }

  /** Losing the lock means that somebody else may have the job by now; BullMQ itself only tells. */
  locksLost(ids: readonly string[]): void {
    for (const id of ids)
      this.#attempts
        .get(id)
        ?.abort(new AttemptAborted('lock-lost', 'the lock was lost; another worker may have the job'))
  }

  /** False when the job is not in hand here. */
  cancel(id: string, reason: string): boolean {
    const attempt = this.#attempts.get(id)
    attempt?.abort(new AttemptAborted('cancelled', reason))
    return attempt !== undefined
  }

  interrupt(): void {
    for (const [id, attempt] of this.#attempts) {
      this.#log.warn({ job: id }, 'interrupted by shutdown; it goes back without using up an attempt')
      attempt.abort(new AttemptAborted('shutdown', 'shutting down'))
    }
  }
}
