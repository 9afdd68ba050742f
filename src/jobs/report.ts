import type { Job as BullJob } from 'bullmq'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import type { Decision, Ended } from '../policy/decide.ts'
import { cancelledMark } from '../policy/why.ts'
import { dueAt, metaOf } from './bull.ts'
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

  started(bullJob: BullJob): void {
    if (bullJob.attemptsStarted > 1) return
    this.#metrics.jobWait.observe({ queue: this.#queue }, Math.max(0, Date.now() - dueAt(bullJob)) / 1_000)
  }

  ended(bullJob: BullJob, ended: Ended, decision: Decision, ms: number): void {
    const outcome = outcomeName(ended, decision)
    const { tenant } = metaOf(bullJob)
    this.#count(tenant, outcome)
    if (wasStarted(ended)) this.#metrics.jobRun.observe({ queue: this.#queue }, ms / 1_000)
    const reason = 'reason' in ended && ended.reason !== undefined ? { reason: ended.reason } : {}
    const line = {
      ...reason,
      job: bullJob.id,
      ...(tenant === undefined ? {} : { tenant }),
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
  poison(bullJob: BullJob): void {
    const { id: job, deferredFailure: reason } = bullJob
    const { tenant } = metaOf(bullJob)
    const outcome = reason?.startsWith(cancelledMark) ? 'cancelled' : 'dead'
    this.#count(tenant, outcome)
    if (outcome === 'cancelled') return void this.#log.info({ job, tenant, outcome, reason }, 'not started')
    this.#log.error({ job, tenant, outcome, reason }, 'buried without another attempt')
  }

  #count(tenant: string | undefined, outcome: string): void {
    this.#metrics.jobsFinished.inc({ queue: this.#queue, outcome })
    this.#metrics.countJobOf(tenant, this.#queue, outcome)
  }

  /** Where both the log and whoever looks at the job see it. */
  lostResult(bullJob: BullJob, why: string): void {
    const text = `the result was not kept: ${why}`
    this.#log.warn({ job: bullJob.id }, text)
    bullJob.log(text).catch(() => {})
  }
}
