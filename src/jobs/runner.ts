import { type BackoffOptions, type Job as BullJob, Worker as BullWorker, DelayedError, WaitingError } from 'bullmq'
import type { Redis } from 'ioredis'
import { isDefer, isDrop } from '../define/outcome.ts'
import { validate } from '../define/schema.ts'
import type { AnyWorker, Enqueue, Job } from '../define/worker.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { backoffMs } from '../policy/backoff.ts'
import { type Decision, decide, type Ended } from '../policy/decide.ts'
import { Attempt, AttemptAborted } from './attempt.ts'
import { bullKeep, keepAll, metaOf } from './bull.ts'
import { prepareScripts } from './bull-scripts.ts'
import { decode } from './codec.ts'
import { AttemptContext } from './context.ts'
import { dropped, errorOf, outcomeName, storable } from './ended.ts'
import { untilPointless } from './patience.ts'
import { Tidying } from './tidying.ts'

/*
 * The life of an attempt: take (BullMQ) → check the payload → handle → decide → complete, retry, postpone or bury.
 *
 * BullMQ's own times. A lock is renewed at half of lockMs; a worker that dies loses its jobs to the others after at most
 * lockMs + stalledCheckMs. Longer than a restart of the store, or jobs in hand would run twice after one.
 */
const lockMs = 30_000
const stalledCheckMs = 5_000
/** A job that was in hand of two processes that died may be what kills them; the third death buries it. */
const maxStalls = 2
/** A store that refuses writes is asked again after this. BullMQ would ask without any pause: 9,000 errors a second. */
const refusedPauseMs = 2_000

export type RunnerOptions = {
  readonly worker: AnyWorker
  readonly redis: Redis
  readonly prefix: string
  readonly log: Logger
  readonly metrics: Metrics
  readonly enqueue: Enqueue
  readonly settings: unknown
  readonly random?: () => number
}

/** Works on one queue in this process. */
export class Runner {
  readonly name: string
  readonly #options: RunnerOptions
  readonly #log: Logger
  readonly #inHand = new Map<string, Attempt>()
  /** What decide() said of a failed attempt, until BullMQ asks for the backoff. */
  readonly #decisions = new WeakMap<BullJob, Decision>()
  /** The queue's policy in BullMQ's words; the same objects for all jobs, which nobody changes. */
  readonly #backoffOptions: BackoffOptions = { type: 'millrace' }
  readonly #tidying: Tidying
  #bull: BullWorker | undefined
  #closing: Promise<void> | undefined
  #interruptTimer: NodeJS.Timeout | undefined
  #refused = false

  constructor(options: RunnerOptions) {
    this.#options = options
    this.name = `worker ${options.worker.queue.name}`
    this.#log = options.log.child({ queue: options.worker.queue.name })
    this.#tidying = new Tidying(bullKeep(options.worker.queue.keep.completed))
  }

  async start(): Promise<void> {
    const { worker, redis, prefix } = this.#options
    prepareScripts()
    // Two plain parameters: with a third BullMQ would make an AbortController for each job, asked for or not.
    const bull = new BullWorker(worker.queue.name, (job, token) => this.#process(job, token ?? ''), {
      connection: redis,
      prefix,
      concurrency: worker.concurrency,
      lockDuration: lockMs,
      stalledInterval: stalledCheckMs,
      maxStalledCount: maxStalls,
      runRetryDelay: 1_000,
      settings: { backoffStrategy: (_made, _type, _error, job) => this.#backoff(job as BullJob | undefined) },
      autorun: false,
    })
    this.#bull = bull
    bull.on('error', (error) => this.#onError(error))
    // Losing the lock means that somebody else may have the job by now; BullMQ itself only tells.
    bull.on('lockRenewalFailed', (ids) => {
      for (const id of ids)
        this.#inHand
          .get(id)
          ?.abort(new AttemptAborted('lock-lost', 'the lock was lost; another worker may have the job'))
    })
    bull.on('stalled', (id) => this.#log.warn({ job: id }, 'taken back from a worker that died'))
    await bull.waitUntilReady()
    bull.run().catch((error) => this.#onError(error))
  }

  /** Takes no more jobs, from this moment on. Shortly before the deadline those in hand are told to stop and go back. */
  quiet(deadline: number): void {
    if (this.#closing || !this.#bull) return
    this.#closing = this.#bull.close()
    // Half of a short grace, a couple of seconds of a long one: time to settle and to put the jobs back.
    const left = deadline - Date.now()
    this.#interruptTimer = setTimeout(() => this.#interrupt(), Math.max(0, left - Math.min(2_500, left / 2)))
  }

  /** Waits for the jobs in hand. */
  async stop(deadline: number): Promise<void> {
    this.quiet(deadline)
    if (!this.#closing) return
    const abandoned = untilPointless({
      deadline,
      isAway: () => this.#options.redis.status !== 'ready' && this.#inHand.size === 0,
    })
    const gaveUp = await Promise.race([this.#closing.then(() => false), abandoned.promise])
    if (gaveUp) this.#log.warn('stopped without the store; others take back what was in hand when its lock has run out')
    clearTimeout(this.#interruptTimer)
    abandoned.cancel()
  }

  /** Whether jobs of this queue are being fetched: what BullMQ's isRunning() does not know of a lost connection. */
  health(): { ok: boolean; detail: string } {
    const running = this.#bull?.isRunning() === true && !this.#bull.closing
    const connected = this.#options.redis.status === 'ready'
    if (!connected) return { ok: false, detail: 'not connected to the queue store' }
    if (this.#refused) return { ok: false, detail: 'the queue store refuses writes; trying again' }
    return running ? { ok: true, detail: `${this.#inHand.size} in hand` } : { ok: false, detail: 'not running' }
  }

  #interrupt(): void {
    for (const [id, attempt] of this.#inHand) {
      this.#log.warn({ job: id }, 'interrupted by shutdown; it goes back without using up an attempt')
      attempt.abort(new AttemptAborted('shutdown', 'shutting down'))
    }
  }

  async #process(bullJob: BullJob, token: string): Promise<unknown> {
    const { worker, metrics } = this.#options
    const queue = worker.queue
    const attempt = new Attempt()
    const id = bullJob.id ?? ''
    const started = performance.now()
    this.#inHand.set(id, attempt)
    this.#applyPolicy(bullJob)
    if (bullJob.attemptsStarted <= 1)
      metrics.jobWait.observe({ queue: queue.name }, Math.max(0, Date.now() - bullJob.timestamp) / 1_000)

    let ended: Ended
    let result: unknown
    const unfit = { isUnfit: false }
    try {
      result = await attempt.run(() => this.#handle(bullJob, attempt, unfit), worker.timeoutMs)
      ended = isDefer(result)
        ? { kind: 'deferred', ms: result.ms }
        : isDrop(result)
          ? { kind: 'dropped', reason: result.reason }
          : { kind: 'done' }
      // What a handler returns after its time is not to be trusted: it may have broken off half-way.
      if (attempt.aborted?.because === 'timeout') ended = { kind: 'failed', error: attempt.aborted }
    } catch (error) {
      ended =
        attempt.aborted?.because === 'shutdown'
          ? { kind: 'interrupted' }
          : { kind: unfit.isUnfit ? 'unfit' : 'failed', error }
    } finally {
      this.#inHand.delete(id)
    }

    const decision = decide(ended, bullJob.attemptsMade + 1, queue.retry, this.#options.random ?? Math.random)
    const reason = isDefer(result) || isDrop(result) ? result.reason : undefined
    this.#report(bullJob, ended, decision, performance.now() - started, reason)
    return this.#carryOut(
      bullJob,
      token,
      ended,
      decision,
      storable(result, (error) =>
        this.#log.warn({ job: bullJob.id, err: error }, 'the result is not JSON and was not kept'),
      ),
    )
  }

  #handle(bullJob: BullJob, attempt: Attempt, unfit: { isUnfit: boolean }): Promise<unknown> | unknown {
    const { worker, settings } = this.#options
    const refuse = (error: unknown): never => {
      unfit.isUnfit = true
      throw error
    }
    let payload: unknown
    try {
      payload = validate(worker.queue.payload, decode(bullJob.data), `stored payload of job ${bullJob.id}`)
    } catch (error) {
      return refuse(error)
    }
    const meta = metaOf(bullJob)
    const run = (checked: unknown) => {
      const job: Job<unknown> = {
        id: bullJob.id ?? '',
        payload: checked,
        attempt: bullJob.attemptsMade + 1,
        attempts: worker.queue.retry.attempts,
        name: bullJob.name,
        tenant: meta.tenant,
        enqueuedAt: new Date(bullJob.timestamp),
      }
      return worker.handle(job, new AttemptContext(attempt, this.#log, job, this.#options.enqueue, settings))
    }
    return payload instanceof Promise ? payload.then(run, refuse) : run(payload)
  }

  /** The queue file as it is now holds for every job, also for those that were stored under an older one. */
  #applyPolicy({ opts }: BullJob): void {
    opts.attempts = this.#options.worker.queue.retry.attempts
    opts.backoff = this.#backoffOptions
    opts.removeOnComplete = this.#tidying.next()
    // Dead ones are removed by the janitor, which forgets their deduplication keys as well.
    opts.removeOnFail = keepAll
  }

  /** Decision → BullMQ's ways of ending an attempt, of which most are exceptions. */
  async #carryOut(
    bullJob: BullJob,
    token: string,
    ended: Ended,
    decision: Decision,
    result: unknown,
  ): Promise<unknown> {
    switch (decision.do) {
      case 'complete':
        return result
      case 'postpone':
        if (decision.inMs > 0) {
          await bullJob.moveToDelayed(Date.now() + decision.inMs, token)
          throw new DelayedError()
        }
        await bullJob.moveToWait(token)
        throw new WaitingError()
      case 'retry':
        this.#decisions.set(bullJob, decision)
        throw errorOf(ended)
      case 'bury': {
        if (ended.kind === 'dropped') throw dropped(decision.reason)
        this.#decisions.set(bullJob, decision)
        throw errorOf(ended)
      }
    }
  }

  /** BullMQ asks here how long to wait: -1 for never. */
  #backoff(bullJob: BullJob | undefined): number {
    const decision = bullJob && this.#decisions.get(bullJob)
    if (decision?.do === 'bury') return -1
    // Without a decision it was not the handler that failed but what came after it: never a reason to give a job up.
    return decision?.do === 'retry' ? decision.inMs : backoffMs(this.#options.worker.queue.retry, 1, Math.random)
  }

  #report(bullJob: BullJob, ended: Ended, decision: Decision, ms: number, reason: string | undefined): void {
    const { metrics, worker } = this.#options
    const queue = worker.queue.name
    const outcome = outcomeName(ended, decision)
    metrics.jobsFinished.inc({ queue, outcome })
    metrics.jobRun.observe({ queue }, ms / 1_000)
    const said = reason === undefined ? {} : { reason }
    const line = { ...said, job: bullJob.id, attempt: bullJob.attemptsMade + 1, ms: Math.round(ms * 10) / 10, outcome }
    if (ended.kind === 'failed' || ended.kind === 'unfit') {
      const next = decision.do === 'retry' ? { retryInMs: decision.inMs } : {}
      this.#log[decision.do === 'bury' ? 'error' : 'warn']({ ...line, ...next, err: errorOf(ended) }, 'attempt failed')
    } else this.#log.info(line, 'attempt ended')
  }

  #onError(error: Error): void {
    if (/\b(OOM|MISCONF|NOREPLICAS|READONLY|NOPERM)\b/.test(error.message)) return void this.#backOff(error)
    this.#log.error({ err: error }, 'worker error')
  }

  async #backOff(error: Error): Promise<void> {
    if (this.#refused || !this.#bull || this.#bull.closing) return
    this.#refused = true
    this.#log.error({ err: error }, `the queue store refuses writes; fetching again in ${refusedPauseMs} ms`)
    await this.#bull.pause(true)
    setTimeout(() => {
      this.#refused = false
      if (!this.#bull?.closing) void this.#bull?.resume()
    }, refusedPauseMs).unref()
  }
}
