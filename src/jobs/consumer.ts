import { type Job as BullJob, Worker as BullWorker, type WorkerOptions } from 'bullmq'
import type { Redis } from 'ioredis'
import type { AnyWorker } from '../define/worker.ts'
import { maxStalls } from './poison.ts'
import { workerName } from './worker-name.ts'

/*
 * BullMQ's own times. A lock is renewed at half of lockMs; a worker that dies loses its jobs to the others after at most
 * lockMs + stalledCheckMs. Longer than a restart of the store, or jobs in hand would run twice after one.
 */
export const lockMs = 30_000
const stalledCheckMs = 5_000
/**
 * How long a worker with nothing to do waits before it looks by itself, in seconds. It is what a delayed job, a retry or a turn
 * that became due is late at most when the process that was to wake for it has its hands full by then, or has gone: BullMQ tells
 * one process of it, and no other. BullMQ's 5 s would spare an idle worker four looks of 50 µs.
 */
const drainDelaySeconds = 1
/** A stuck one is given up after this. */
const closeMs = 2_000
const lookMs = 50
/** The longest that a store which is well takes for a PING, behind whatever else it does. */
const answerMs = 2_000

/** One for the worker's queue, which does not run yet. */
export function openConsumer(
  { worker, redis, prefix }: { readonly worker: AnyWorker; readonly redis: Redis; readonly prefix: string },
  on: {
    readonly process: (job: BullJob, token: string) => Promise<unknown>
    readonly backoff: (job: BullJob | undefined) => number
  },
): Consumer {
  // Two plain parameters: with a third BullMQ would make an AbortController for each job, asked for or not.
  return new Consumer(worker.queue.name, (job, token) => on.process(job, token ?? ''), {
    connection: redis,
    prefix,
    concurrency: worker.concurrency,
    name: workerName(worker.concurrency),
    lockDuration: lockMs,
    stalledInterval: stalledCheckMs,
    maxStalledCount: maxStalls,
    runRetryDelay: 1_000,
    drainDelay: drainDelaySeconds,
    settings: { backoffStrategy: (_made, _type, _error, job) => on.backoff(job as BullJob | undefined) },
    autorun: false,
  })
}

/** So many answers with a job in a row say that there are more. */
const worthwhile = 2
/** Fetches at once beside BullMQ's own. */
const maxExtra = 3

/** What BullMQ's worker has and does not show. */
type Inner = {
  blockUntil: number
  readonly waiting: unknown
  readonly mainLoopQueue: { add(job: Promise<unknown>): void; numTotal(): number } | null
  isRateLimited(): boolean
  retryIfFailed<T>(fn: () => Promise<T>, how: { delayInMs: number | undefined; onlyEmitError: boolean }): Promise<T>
  moveToActive(token: string, name: string | undefined): Promise<unknown>
}

type ConsumerOptions = WorkerOptions & { readonly connection: Redis }

/**
 * BullMQ's worker, and what it does not tell: that it fetches, and which jobs are its own. A job is held from the store's
 * answer that hands it out until BullMQ has stored what became of it; our own bookkeeping covers only the handler's part.
 */
export class Consumer extends BullWorker {
  /** Answers of the store to a fetch so far, those without a job included. */
  fetches = 0
  readonly #redis: Redis
  /** Answers that brought a job, one after the other. */
  #streak = 0
  #extra = 0
  #serial = 0
  /** Job → how often, because a job put back can be here again before its last run has ended in all its parts. */
  readonly #held = new Map<string, number>()

  constructor(name: string, process: (job: BullJob, token?: string) => Promise<unknown>, options: ConsumerOptions) {
    super(name, process, options)
    this.#redis = options.connection
  }

  /**
   * Closes it as far as that is possible. One that is stuck never says that it is closed: then resolves as soon as it holds no
   * job any more. It goes on keeping the locks of those it holds.
   */
  async retire(): Promise<void> {
    let isClosed = false
    const closed = this.close().finally(() => {
      isClosed = true
    })
    const idle = async () => {
      await pause(closeMs)
      while (!isClosed && this.#held.size > 0) await pause(lookMs)
    }
    await Promise.race([closed, idle()])
  }

  /** Reconnects when the store does not answer on this connection, which others may share. */
  async revive(): Promise<void> {
    const answers = await Promise.race([this.#redis.ping().then(() => true), pause(answerMs)])
    if (!answers) this.#redis.disconnect(true)
  }

  holds(id: string): boolean {
    return this.#held.has(id)
  }

  /** It has a free slot and a connection, and nobody told it to rest: we by a pause, or the store by a rate limit. */
  get shouldFetch(): boolean {
    const { limitUntil = 0 } = this as unknown as { limitUntil?: number }
    if (this.closing || this.isPaused() || limitUntil > Date.now()) return false
    return this.#redis.status === 'ready' && this.#held.size < this.concurrency
  }

  protected override nextJobFromJobData(...answer: Parameters<BullWorker['nextJobFromJobData']>): Promise<BullJob> {
    this.fetches += 1
    const [data, id] = answer
    const next = super.nextJobFromJobData(...answer)
    this.#streak = data ? this.#streak + 1 : 0
    if (!data || id === undefined) return next
    this.#take(id)
    this.#fetchMore()
    return next.then((job) => {
      if (!job) this.#drop(id)
      this.#startAtOnce()
      return job
    })
  }

  /**
   * BullMQ fetches one job after the other until there are no more or all slots are taken, and only then calls the first
   * handler: with 50 slots and jobs that come as fast as they are fetched, 50 round trips later. With a time to block until it
   * begins with each job at once; the answer to the next fetch sets that time again, and nobody blocks before it.
   */
  #startAtOnce(): void {
    const bull = this as unknown as Inner
    bull.blockUntil = 1
  }

  /**
   * BullMQ fetches one after the other, a round trip with an fsync each. While each answer brings a job there are more: then
   * some are fetched at once, which the store does with one fsync (measured at 1,500 jobs a second, from enqueue to start: a
   * median of 2–3 instead of 5–20 ms). What is under way counts as a slot that is taken.
   */
  #fetchMore(): void {
    const bull = this as unknown as Inner
    if (this.#streak < worthwhile || this.closing || this.isPaused() || bull.waiting || bull.isRateLimited()) return
    while (this.#extra < maxExtra && bull.mainLoopQueue && bull.mainLoopQueue.numTotal() < this.concurrency) {
      this.#extra += 1
      const token = `${this.id}:more-${this.#serial++}`
      const fetched = bull.retryIfFailed(() => bull.moveToActive(token, this.opts.name), {
        delayInMs: this.opts.runRetryDelay,
        onlyEmitError: true,
      })
      bull.mainLoopQueue.add(
        fetched.finally(() => {
          this.#extra -= 1
        }),
      )
    }
  }

  override processJob(...what: Parameters<BullWorker['processJob']>): ReturnType<BullWorker['processJob']> {
    return super.processJob(...what).finally(() => this.#drop(what[0].id ?? ''))
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

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref())
}
