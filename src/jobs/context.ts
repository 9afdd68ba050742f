import type { Context, Enqueue, Job } from '../define/worker.ts'
import type { Logger } from '../observe/log.ts'
import type { Attempt } from './attempt.ts'

/** What the handler gets beside its job. Getters, because most handlers use half of it. */
export class AttemptContext implements Context {
  readonly #attempt: Attempt
  readonly #parentLog: Logger
  readonly #job: Job<unknown>
  readonly enqueue: Enqueue
  readonly settings: never
  #log: Logger | undefined

  constructor(attempt: Attempt, log: Logger, job: Job<unknown>, enqueue: Enqueue, settings: unknown) {
    this.#attempt = attempt
    this.#parentLog = log
    this.#job = job
    this.enqueue = enqueue
    this.settings = settings as never
  }

  get signal(): AbortSignal {
    return this.#attempt.signal
  }

  get log(): Logger {
    this.#log ??= this.#parentLog.child({ job: this.#job.id, attempt: this.#job.attempt })
    return this.#log
  }
}
