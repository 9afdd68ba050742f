import type { AnyQueue } from '../define/queue.ts'
import type { ChainEnqueue, Context, Enqueue, Job } from '../define/worker.ts'
import type { Logger } from '../observe/log.ts'
import type { Attempt } from './attempt.ts'
import { Chain } from './chain.ts'
import type { Isolate } from './isolate.ts'

export type ContextOptions = {
  readonly queue: AnyQueue
  readonly log: Logger
  readonly enqueue: Enqueue
  readonly settings: unknown
  /** The processes of a worker with `isolate: true`. */
  readonly isolate?: Isolate | undefined
}

/** What the handler gets beside its job. Getters, because most handlers use half of it. */
export class AttemptContext implements Context {
  readonly #attempt: Attempt
  readonly #job: Job<unknown>
  readonly #options: ContextOptions
  #log: Logger | undefined
  #chain: Chain | undefined

  /** `options` are the same for all attempts of a worker. */
  constructor(attempt: Attempt, job: Job<unknown>, options: ContextOptions) {
    this.#attempt = attempt
    this.#job = job
    this.#options = options
  }

  get signal(): AbortSignal {
    return this.#attempt.signal
  }

  get log(): Logger {
    this.#log ??= this.#options.log.child({ job: this.#job.id, attempt: this.#job.attempt })
    return this.#log
  }

  get enqueue(): ChainEnqueue {
    this.#chain ??= new Chain({ queue: this.#options.queue, id: this.#job.id }, this.#options.enqueue)
    return this.#chain.enqueue
  }

  get settings(): never {
    return this.#options.settings as never
  }

  /** What the handler has left behind; undefined when it never asked for `enqueue`. */
  get chain(): Chain | undefined {
    return this.#chain
  }
}
