import { type BackoffOptions, type Job as BullJob, DelayedError, WaitingError } from 'bullmq'
import type { Redis } from 'ioredis'
import type { AnyWorker, Enqueue } from '../define/worker.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { backoffMs } from '../policy/backoff.ts'
import { type Decision, decide, type Ended } from '../policy/decide.ts'
import { mostAttempts } from '../policy/retry-for.ts'
import { Attempt } from './attempt.ts'
import { Breaker } from './breaker.ts'
import { bullKeep, keepAll } from './bull.ts'
import { prepareScripts } from './bull-scripts.ts'
import { type Call, callHandler, endedByAbort, endedByThrow } from './call.ts'
import { type Consumer, lockMs, openConsumer } from './consumer.ts'
import { Consumers } from './consumers.ts'
import type { ContextOptions } from './context.ts'
import { dropped, endedBy, errorOf, failedOf, isDecision, storable } from './ended.ts'
import { InHand } from './in-hand.ts'
import { insistOnEnds, isRefusal } from './insist.ts'
import { Intake } from './intake.ts'
import type { Isolate } from './isolate.ts'
import { keepLines } from './job-log.ts'
import { untilPointless } from './patience.ts'
import { expiry, newerVersion } from './payload.ts'
import { namePoison } from './poison.ts'
import { Report } from './report.ts'
import { noteRun } from './schedules.ts'
import { Tidying } from './tidying.ts'
import { Notes, readWhy, wasStarted, whyField, whyOf } from './why.ts'

/* The life of an attempt: take (BullMQ) → check the payload → handle → decide → complete, retry, postpone or bury. */

export type RunnerOptions = {
  readonly worker: AnyWorker
  readonly redis: Redis
  readonly prefix: string
  readonly log: Logger
  readonly metrics: Metrics
  readonly enqueue: Enqueue
  readonly settings: unknown
  readonly services?: ContextOptions['services']
  /** The processes of a worker with `isolate: true`. */
  readonly isolate?: Isolate | undefined
  readonly random?: () => number
  /** Told when a handler threw RateLimited, so that others with the same key wait as well. Without it only the job itself does. */
  readonly holdBack?: (bullJob: BullJob, untilMs: number, key: string | undefined) => Promise<void>
}

/** Works on one queue in this process. */
export class Runner {
  readonly name: string
  readonly queue: string
  readonly #options: RunnerOptions
  readonly #log: Logger
  readonly #inHand: InHand
  /** What decide() said of a failed attempt, until BullMQ asks for the backoff. */
  readonly #decisions = new WeakMap<BullJob, Decision>()
  /** The queue's policy in BullMQ's words; the same objects for all jobs, which nobody changes. */
  readonly #backoffOptions: BackoffOptions = { type: 'millrace' }
  readonly #tidying: Tidying
  readonly #report: Report
  readonly #contextOptions: ContextOptions
  /** More than any error may have: which one it is, and what holds for it, decide() says. */
  readonly #attempts: number
  /** The one that fetches, and those that the watchdog gave up. */
  readonly consumers = new Consumers()
  /** What the watchdog said, until the new one has fetched. */
  #stuck: string | undefined
  #intake: Intake | undefined
  #notes: Notes | undefined
  #breaker: Breaker | undefined
  #closing: Promise<void> | undefined
  #interruptTimer: NodeJS.Timeout | undefined

  constructor(options: RunnerOptions) {
    this.#options = options
    const { worker, metrics } = options
    this.queue = worker.queue.name
    this.name = `worker ${this.queue}`
    this.#log = options.log.child({ queue: this.queue })
    this.#inHand = new InHand(this.#log)
    this.#report = new Report(this.queue, this.#log, metrics)
    const keeping = keepLines(options.redis, `${options.prefix}:${this.queue}`)
    this.#contextOptions = { ...options, queue: worker.queue, log: this.#log, keepLines: keeping }
    this.#attempts = mostAttempts(worker.queue.retry)
    this.#tidying = new Tidying(bullKeep(worker.queue.keep.completed))
  }

  async start(): Promise<void> {
    prepareScripts()
    namePoison()
    const bull = this.consumers.add(this.#open())
    const { breaker: policy } = this.#options.worker.queue
    this.#intake = new Intake(bull)
    if (policy) this.#breaker = new Breaker({ ...this.#options, policy, intake: this.#intake, log: this.#log })
    await this.#run(bull)
  }

  #open(): Consumer {
    const bull = openConsumer(this.#options, {
      process: (job, token) => this.#process(job, token),
      backoff: (job) => this.#backoff(job),
    })
    // First, so that a note stays with the end that is offered again.
    insistOnEnds(bull, { redis: this.#options.redis, lockMs, onRefused: (error) => this.#onError(error) })
    this.#notes = new Notes(bull, this.#options.redis)
    bull.on('error', (error) => this.#onError(error))
    bull.on('lockRenewalFailed', (ids) => this.#inHand.locksLost(ids))
    bull.on('stalled', (id) => this.#log.warn({ job: id }, 'taken back from a worker that died'))
    bull.on('failed', (job) => job?.deferredFailure && this.#report.poison(job))
    return bull
  }

  async #run(bull: Consumer): Promise<void> {
    await bull.waitUntilReady()
    bull.run().catch((error) => this.#onError(error))
  }

  /** Takes no more jobs, from this moment on. Shortly before the deadline those in hand are told to stop and go back. */
  quiet(deadline: number): void {
    if (this.#closing || !this.#bull) return
    this.#closing = this.consumers.close()
    // Half of a short grace, a couple of seconds of a long one: time to settle and to put the jobs back.
    const left = deadline - Date.now()
    this.#interruptTimer = setTimeout(() => this.#inHand.interrupt(), Math.max(0, left - Math.min(2_500, left / 2)))
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
    this.#breaker?.stop()
  }

  get #bull(): Consumer | undefined {
    return this.consumers.current
  }

  /** A new consumer on a fresh blocking connection. What the old one has in hand it finishes. */
  async restart(why: string): Promise<void> {
    if (!this.#bull || this.#closing) return
    this.#stuck = why
    await this.consumers.retire()
    if (this.#closing !== undefined) return
    const bull = this.consumers.add(this.#open())
    this.#intake?.moveTo(bull)
    await this.#run(bull)
  }

  /** The ids of the jobs in hand. */
  inHand(): string[] {
    return this.#inHand.ids
  }

  /** Tells the attempt in hand to stop and sends the job to the dead letters. False when it is not in hand here. */
  cancel(id: string, reason: string): boolean {
    return this.#inHand.cancel(id, reason)
  }

  /** Whether jobs of this queue are being fetched: what BullMQ's isRunning() does not know of a lost connection. */
  health(): { ok: boolean; detail: string } {
    const running = this.#bull?.isRunning() === true && !this.#bull.closing
    const connected = this.#options.redis.status === 'ready'
    if (this.#stuck !== undefined && this.#bull?.fetches === 0) return { ok: false, detail: this.#stuck }
    if (!connected) return { ok: false, detail: 'not connected to the queue store' }
    if (this.#intake?.isHeld('refused')) return { ok: false, detail: 'the queue store refuses writes; trying again' }
    if (this.#intake?.isHeld('breaker')) return { ok: true, detail: 'breaker open: too many attempts fail' }
    return running ? { ok: true, detail: `${this.#inHand.size} in hand` } : { ok: false, detail: 'not running' }
  }

  async #process(bullJob: BullJob, token: string): Promise<unknown> {
    const { worker } = this.#options
    const queue = worker.queue
    const attempt = new Attempt()
    const id = bullJob.id ?? ''
    const started = performance.now()
    this.#inHand.add(id, attempt)
    this.#applyPolicy(bullJob)

    let ended: Ended | undefined = this.#refusal(bullJob)
    if (ended?.kind === 'newer-version') ended = { ...ended, times: await this.#timesPutBack(bullJob) }
    const admission = ended ? 'wait' : (this.#breaker?.admit() ?? 'run')
    if (!ended && admission === 'wait') ended = { kind: 'breaker-open' }
    let result: unknown
    if (!ended) {
      this.#report.started(bullJob)
      if (bullJob.repeatJobKey !== undefined)
        noteRun(this.#options.redis, `${this.#options.prefix}:${queue.name}`, bullJob)
      const call: Call = { isUnfit: false, context: undefined }
      try {
        result = await attempt.run(
          () => callHandler(bullJob, worker, attempt, this.#contextOptions, call),
          worker.timeoutMs,
        )
        ended = endedByAbort(attempt) ?? endedBy(result)
        const chain = call.context?.chain
        if (chain && ended.kind === 'done') {
          // Whoever has the job now leaves behind what his own attempt comes to.
          if (attempt.aborted?.because === 'lock-lost') throw attempt.aborted
          await attempt.run(() => chain.send(attempt), worker.timeoutMs)
        }
      } catch (error) {
        ended = endedByThrow(error, attempt, call)
      }
      call.context?.chain?.close()
      call.context?.flushLog()
      this.#breaker?.ended(admission, failedOf(ended))
    }
    this.#inHand.delete(id)

    const decision = decide(ended, bullJob.attemptsMade + 1, queue.retry, this.#options.random ?? Math.random)
    this.#report.ended(bullJob, ended, decision, performance.now() - started)
    if (decision.do === 'complete') return storable(result, (why) => this.#report.lostResult(bullJob, why))
    return this.#carryOut(bullJob, token, ended, decision)
  }

  /** Why the handler is not called at all; undefined for nearly all jobs. */
  #refusal(bullJob: BullJob): Ended | undefined {
    const { queue } = this.#options.worker
    const reason = expiry(bullJob, queue, Date.now())
    if (reason !== undefined) return { kind: 'expired', reason }
    const version = newerVersion(bullJob, queue)
    return version === undefined ? undefined : { kind: 'newer-version', version, times: 0 }
  }

  async #timesPutBack(bullJob: BullJob): Promise<number> {
    const { redis, prefix, worker } = this.#options
    const said = await redis.hget(`${prefix}:${worker.queue.name}:${bullJob.id}`, whyField).catch(() => null)
    const why = readWhy(said)
    return why?.code === 'newer-version' ? (why.times ?? 0) : 0
  }

  /** The queue file as it is now holds for every job, also for those that were stored under an older one. */
  #applyPolicy({ opts }: BullJob): void {
    opts.attempts = this.#attempts
    opts.backoff = this.#backoffOptions
    opts.removeOnComplete = this.#tidying.next()
    // Dead ones are removed by the janitor, which forgets their deduplication keys as well.
    opts.removeOnFail = keepAll
  }

  /** Decision → BullMQ's ways of ending an attempt that is not completed, all of which are exceptions. */
  async #carryOut(bullJob: BullJob, token: string, ended: Ended, decision: Decision): Promise<never> {
    const now = Date.now()
    const why = { [whyField]: JSON.stringify(whyOf(ended, decision, now)) }
    if (decision.do === 'postpone') {
      if (ended.kind === 'rate-limited') await this.#holdBack(bullJob, now + decision.inMs, decision.holdKey)
      // A start is counted when the handler is called: that is what `expires` asks for.
      const fields = wasStarted(ended) ? why : { ...why, ats: bullJob.attemptsStarted - 1 }
      if (decision.inMs > 0) {
        this.#notes?.write(bullJob, fields)
        await bullJob.moveToDelayed(now + decision.inMs, token)
        throw new DelayedError()
      }
      await this.#notes?.moveToWait(bullJob, token, fields)
      throw new WaitingError()
    }
    this.#notes?.write(bullJob, why)
    if (decision.do === 'bury' && isDecision(ended)) throw dropped(decision.reason)
    this.#decisions.set(bullJob, decision)
    throw errorOf(ended)
  }

  async #holdBack(bullJob: BullJob, untilMs: number, key: string | undefined): Promise<void> {
    try {
      await this.#options.holdBack?.(bullJob, untilMs, key)
    } catch (error) {
      this.#log.warn(
        { job: bullJob.id, err: error },
        'others with its key could not be held back; the job itself waits',
      )
    }
  }

  /** BullMQ asks here how long to wait: -1 for never. */
  #backoff(bullJob: BullJob | undefined): number {
    const decision = bullJob && this.#decisions.get(bullJob)
    if (decision?.do === 'bury') return -1
    // Without a decision it was not the handler that failed but what came after it: never a reason to give a job up.
    return decision?.do === 'retry' ? decision.inMs : backoffMs(this.#options.worker.queue.retry, 1, Math.random)
  }

  #onError(error: Error): void {
    if (isRefusal(error)) return void this.#intake?.restAfter(error, this.#log)
    this.#log.error({ err: error }, 'worker error')
  }
}
