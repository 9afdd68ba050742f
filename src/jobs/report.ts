import type { Job as BullJob } from 'bullmq'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Decision, Ended } from '../policy/decide.ts'
import { cancelledMark } from '../policy/why.ts'
import { errorOf, outcomeName } from './ended.ts'
import { wasStarted } from './why.ts'

/** What metrics and log hear of the attempts at one queue. */
export class Report {
  readonly #queue: string
  readonly #log: Logger
  readonly #metrics: Metrics

  constructor(queue: string, log: Logger, metrics: Metrics) {
    this.#queue = queue
    this.#log = log
    this.#metrics = metrics
  }

  started({ attemptsStarted, timestamp }: BullJob): void {
    if (attemptsStarted > 1) return
    this.#metrics.jobWait.observe({ queue: this.#queue }, Math.max(0, Date.now() - timestamp) / 1_000)
  }

  ended(bullJob: BullJob, ended: Ended, decision: Decision, ms: number): void {
    const outcome = outcomeName(ended, decision)
    this.#metrics.jobsFinished.inc({ queue: this.#queue, outcome })
    if (wasStarted(ended)) this.#metrics.jobRun.observe({ queue: this.#queue }, ms / 1_000)
    const reason = 'reason' in ended && ended.reason !== undefined ? { reason: ended.reason } : {}
    const line = {
      ...reason,
      job: bullJob.id,
      attempt: bullJob.attemptsMade + 1,
      ms: Math.round(ms * 10) / 10,
      outcome,
    }
    if (ended.kind === 'failed' || ended.kind === 'unfit') {
      const next = decision.do === 'retry' ? { retryInMs: decision.inMs } : {}
      this.#log[decision.do === 'bury' ? 'error' : 'warn']({ ...line, ...next, err: errorOf(ended) }, 'attempt failed')
    } else this.#log.info(line, 'attempt ended')
  }

  /** Without coming by the handler: BullMQ counts how often a job was taken back from a process that died. */
  poison({ id, deferredFailure }: BullJob): void {
    const isCancelled = deferredFailure?.startsWith(cancelledMark) === true
    this.#metrics.jobsFinished.inc({ queue: this.#queue, outcome: isCancelled ? 'cancelled' : 'dead' })
    if (isCancelled)
      return void this.#log.info({ job: id, outcome: 'cancelled', reason: deferredFailure }, 'not started')
    this.#log.error({ job: id, outcome: 'dead', reason: deferredFailure }, 'buried without another attempt')
  }

  /** Where both the log and whoever looks at the job see it. */
  lostResult(bullJob: BullJob, why: string): void {
    const text = `the result was not kept: ${why}`
    this.#log.warn({ job: bullJob.id }, text)
    bullJob.log(text).catch(() => {})
  }
}
