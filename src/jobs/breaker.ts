import { hostname } from 'node:os'
import type { Redis } from 'ioredis'
import type { BreakerPolicy } from '../define/queue.ts'
import type { AnyWorker } from '../define/worker.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { type Admission, admitted, type BreakerState, closed, elapsed, ended } from '../policy/breaker.ts'
import type { Intake } from './intake.ts'

const gaugeValue = { closed: 0, 'half-open': 1, open: 2 } as const

/** What `<prefix>:<queue>:breaker` holds while a process leaves the queue alone; the last one to say so. */
export type PublishedBreaker = { readonly state: 'open' | 'half-open'; readonly until: number; readonly by: string }

/** What was published; undefined for nothing, or nothing that can be read. */
export function readBreaker(text: string | null): PublishedBreaker | undefined {
  try {
    return text === null ? undefined : (JSON.parse(text) as PublishedBreaker)
  } catch {
    return undefined
  }
}

/** KEYS[1] the published state, ARGV[1] the end of the text that this process writes. Another's stays. */
const withdrawScript = `
local said = redis.call('GET', KEYS[1])
if said and string.sub(said, -#ARGV[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end`

export type BreakerOptions = {
  readonly worker: AnyWorker
  readonly policy: BreakerPolicy
  readonly redis: Redis
  readonly prefix: string
  readonly intake: Intake
  readonly log: Logger
  readonly metrics: Metrics
}

/** Keeps the state of one queue in this process, and the intake in step with it. */
export class Breaker {
  readonly #options: BreakerOptions
  readonly #key: string
  readonly #by = `${hostname()}:${process.pid}`
  #state: BreakerState = closed
  /** In hand, the probe not counted. */
  #running = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: BreakerOptions) {
    this.#options = options
    this.#key = `${options.prefix}:${options.worker.queue.name}:breaker`
    this.#show()
  }

  get state(): BreakerState {
    return this.#state
  }

  admit(): Admission {
    const { state, as } = admitted(this.#state)
    this.#state = state
    if (as === 'run') this.#running += 1
    return as
  }

  /** `failed` is undefined for an end that does not count. */
  ended(as: Admission, failed: boolean | undefined): void {
    if (as === 'run') this.#running -= 1
    this.#become(ended(this.#state, as, failed, this.#options.policy, Date.now()))
  }

  stop(): void {
    clearTimeout(this.#timer)
    if (this.#state.at !== 'closed') this.#withdraw()
  }

  #become(state: BreakerState): void {
    const before = this.#state
    this.#state = state
    // BullMQ asks for the next job when this one is done: it must know by then that there is room for the probe alone.
    if (state.at === 'half-open') this.#options.intake.narrow(this.#running + 1)
    if (state.at === before.at) return
    this.#show()
    const { intake, log, worker, policy } = this.#options
    if (state.at === 'open') {
      log.warn({ openMs: policy.openMs }, 'breaker open: too many attempts fail; no jobs are taken')
      this.#publish({ state: 'open', until: state.until, by: this.#by })
      void intake.hold('breaker')
      this.#timer = setTimeout(() => this.#become(elapsed(this.#state, state.until)), policy.openMs).unref()
    } else if (state.at === 'half-open') {
      log.info('breaker half-open: one job is tried')
      this.#publish({ state: 'half-open', until: Date.now() + Math.max(worker.timeoutMs, policy.openMs), by: this.#by })
      intake.release('breaker')
    } else {
      log.info('breaker closed')
      this.#withdraw()
      intake.narrow(worker.concurrency)
    }
  }

  #show(): void {
    const { metrics, worker } = this.#options
    metrics.breakerState.set({ name: worker.queue.name }, gaugeValue[this.#state.at])
  }

  /** Only for people to see: nobody waits for it, and it goes away by itself when this process does. */
  #publish(said: PublishedBreaker): void {
    const ms = Math.max(1, Math.ceil(said.until - Date.now()))
    this.#options.redis.set(this.#key, JSON.stringify(said), 'PX', ms).catch(() => {})
  }

  #withdraw(): void {
    this.#options.redis.eval(withdrawScript, 1, this.#key, `"by":${JSON.stringify(this.#by)}}`).catch(() => {})
  }
}
