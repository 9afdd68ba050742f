import type { AnyQueue } from '../define/queue.ts'
import {
  type Breakers,
  type Cache,
  type Limits,
  noServices,
  type Publish,
  type Secrets,
  type Services,
  type Sessions,
} from '../define/services.ts'
import type { ChainEnqueue, Context, Enqueue, Job } from '../define/worker.ts'
import type { Logger } from '../observe/log.ts'
import type { Attempt } from './attempt.ts'
import { Chain } from './chain.ts'
import type { Isolate } from './isolate.ts'
import { type AttemptLog, JobLog, type KeepLines } from './job-log.ts'

export type ContextOptions = {
  readonly queue: AnyQueue
  readonly log: Logger
  readonly enqueue: Enqueue
  readonly settings: unknown
  /** Keeps what the handler logs with its job. */
  readonly keepLines?: KeepLines | undefined
  /** What handlers use beside the queue, for a tenant. Nothing of it in the process of an isolated worker. */
  readonly services?: ((tenant: string | undefined) => Services) | undefined
  /** The processes of a worker with `isolate: true`. */
  readonly isolate?: Isolate | undefined
}

/** What the handler gets beside its job. Getters, because most handlers use half of it. */
export class AttemptContext implements Context {
  readonly #attempt: Attempt
  readonly #job: Job<unknown>
  readonly #options: ContextOptions
  #log: AttemptLog | undefined
  #kept: JobLog | undefined
  #chain: Chain | undefined
  #services: Services | undefined

  /** `options` are the same for all attempts of a worker. */
  constructor(attempt: Attempt, job: Job<unknown>, options: ContextOptions) {
    this.#attempt = attempt
    this.#job = job
    this.#options = options
  }

  get signal(): AbortSignal {
    return this.#attempt.signal
  }

  get log(): AttemptLog {
    if (this.#log) return this.#log
    const { id, attempt, tenant } = this.#job
    const log = this.#options.log.child({ job: id, attempt, ...(tenant === undefined ? {} : { tenant }) })
    const { keepLines } = this.#options
    this.#kept = keepLines && new JobLog(log, (lines) => keepLines(this.#job.id, lines))
    this.#log = this.#kept ?? log
    return this.#log
  }

  /** Keeps the last lines. Before the attempt's end is stored: afterwards the job may be gone. */
  flushLog(): void {
    this.#kept?.flush()
  }

  get enqueue(): ChainEnqueue {
    this.#chain ??= new Chain({ queue: this.#options.queue, id: this.#job.id }, this.#options.enqueue)
    return this.#chain.enqueue
  }

  get settings(): never {
    return this.#options.settings as never
  }

  get cache(): Cache {
    return this.#own.cache
  }

  get sessions(): Sessions {
    return this.#own.sessions
  }

  get limits(): Limits {
    return this.#own.limits
  }

  get publish(): Publish {
    return this.#own.publish
  }

  get breakers(): Breakers {
    return this.#own.breakers
  }

  get secrets(): Secrets {
    return this.#own.secrets
  }

  get #own(): Services {
    this.#services ??= this.#options.services?.(this.#job.tenant) ?? noServices('this run has no services')
    return this.#services
  }

  /** What the handler has left behind; undefined when it never asked for `enqueue`. */
  get chain(): Chain | undefined {
    return this.#chain
  }
}
