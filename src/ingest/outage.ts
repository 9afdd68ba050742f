import type { Logger } from '../observe/log.ts'

/** After the last event was handed over, before it is called over. */
const settleMs = 250

/** Says in the log when events begin to go to the spool, and when all of them are stored: one line each. */
export class Outage {
  readonly #log: Logger
  readonly #waiting: () => number
  #isOn = false
  #stored = 0
  #timer: NodeJS.Timeout | undefined

  constructor({ log, waiting }: { log: Logger; waiting: () => number }) {
    this.#log = log
    this.#waiting = waiting
  }

  /** What became of events at the spool. */
  count(outcome: 'spooled' | 'refused' | 'drained' | 'damaged', events: number): void {
    if (outcome === 'spooled' && !this.#isOn) {
      this.#isOn = true
      this.#log.warn('the queue store takes no events; they are acknowledged from the local disk until it does')
    }
    if (outcome !== 'drained') return
    this.#stored += events
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#settle(), settleMs).unref()
  }

  #settle(): void {
    if (this.#waiting() > 0) return
    this.#log.info({ events: this.#stored }, 'the queue store is back, and every event that waited is stored')
    this.#isOn = false
    this.#stored = 0
  }
}
