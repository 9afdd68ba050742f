import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { silenceMs } from '../policy/watchdog.ts'
import { type Rounds, startRounds } from './rounds.ts'

/*
 * A worker whose process lives and whose connections stand may still have stopped fetching: an answer that never came, a
 * promise that nobody settles. From outside it looks idle. The watchdog counts the store's answers to its fetches; an idle
 * worker has one at least every 10 s (BullMQ's longest blocking call), also when the queue is paused or at its limits.
 */

/** Three of these calls. */
const boundMs = 30_000
const everyMs = 1_000

export type Watched = {
  readonly queue: string
  readonly consumers: {
    /** Answers to fetches so far. */
    readonly fetches: number
    /** It has a free slot and a connection, and nobody told it to rest. */
    readonly shouldFetch: boolean
  }
  /** Starts its consumer anew. It is red, with this reason, until the store has answered the new one. */
  restart(why: string): Promise<void>
}

export type WatchdogOptions = {
  readonly workers: readonly Watched[]
  /** How many jobs of a queue a worker could have; rejects when the store does not answer. */
  readonly waiting: (queue: string) => Promise<number>
  readonly log: Logger
  readonly metrics: Metrics
  readonly boundMs?: number
  readonly everyMs?: number
}

export class Watchdog {
  readonly name = 'watchdog'
  readonly #options: WatchdogOptions
  readonly #seen = new Map<Watched, { fetches: number; silenceMs: number }>()
  #rounds: Rounds | undefined
  #lookedAt = 0

  constructor(options: WatchdogOptions) {
    this.#options = options
  }

  start(): Promise<void> {
    this.#lookedAt = Date.now()
    this.#rounds = startRounds(this.#everyMs, () => this.#look())
    return Promise.resolve()
  }

  quiet(): void {
    this.#rounds?.quiet()
  }

  /** Waits for no look: it may wait for a store that is away, and a runner that is stopping restarts nothing. */
  stop(): Promise<void> {
    this.quiet()
    return Promise.resolve()
  }

  get #everyMs(): number {
    return this.#options.everyMs ?? everyMs
  }

  async #look(): Promise<void> {
    const { workers, waiting, log, metrics, boundMs: bound = boundMs } = this.#options
    const now = Date.now()
    // A handler that computes holds everything up, us included: that time says nothing about fetching.
    const elapsedMs = Math.min(now - this.#lookedAt, 2 * this.#everyMs)
    this.#lookedAt = now
    for (const worker of workers) {
      const { fetches, shouldFetch } = worker.consumers
      const seen = this.#seen.get(worker) ?? { fetches: -1, silenceMs: 0 }
      const look = {
        elapsedMs,
        hasFetched: fetches !== seen.fetches,
        shouldFetch,
        waiting: () => waiting(worker.queue).catch(() => undefined),
      }
      const silence = await silenceMs(seen.silenceMs, look, bound)
      this.#seen.set(worker, { fetches, silenceMs: silence > bound ? 0 : silence })
      if (silence <= bound) continue
      const { queue } = worker
      const why = `jobs wait and nothing was fetched for ${Math.round(silence / 1_000)} s; its consumer was started anew`
      log.error({ queue }, why)
      metrics.workerRestarts.inc({ queue })
      await worker.restart(why).catch((err) => log.error({ err, queue }, 'the consumer could not be started anew'))
    }
  }
}
