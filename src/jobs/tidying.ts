import type { KeepJobs } from 'bullmq'
import { keepAll } from './bull.ts'

/**
 * Removing old jobs at each completion is an eighth of what a completion costs the store (measured: 92 against 79 µs), and
 * as many go when it is done at every 32nd.
 */
const every = 32
/** After a pause the first completion does it, so that a slow queue shows exactly what it is to keep. */
const pauseMs = 1_000

/** Which completions of a process also remove the jobs that are over age or count. */
export class Tidying {
  readonly #keep: KeepJobs
  #since = 0
  #last = 0

  constructor(keep: KeepJobs) {
    this.#keep = keep
  }

  next(now: number = Date.now()): KeepJobs {
    this.#since += 1
    // A queue that keeps few, or none at all, is to have no more than those.
    if ((this.#keep.count ?? every) >= every && this.#since < every && now - this.#last < pauseMs) return keepAll
    this.#since = 0
    this.#last = now
    return this.#keep
  }
}
