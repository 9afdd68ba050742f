import type { Durability } from '../config.ts'
import { MillraceError, messageOf } from '../errors.ts'
import type { CorkedRedis } from '../redis/corked.ts'
import { scriptCall } from '../redis/script-call.ts'
import { type AddArguments, addKeys, addScript, callArguments, idsOf } from './add-script.ts'
import { fsynced } from './fsynced.ts'

/**
 * More in one call would keep redis-server from everybody else for too long: 128 adds take about 4 ms there. Measured:
 * larger batches gain nothing.
 */
const maxJobs = 128
const maxBytes = 1024 ** 2
/** Smaller ones are not worth a call of their own while others wait. */
const minBatch = 16
/** How finely the deadline is kept. */
const sweepMs = 50

const addAll = scriptCall(addScript)

type Pending = {
  readonly args: AddArguments
  readonly deadline: number
  readonly resolve: (id: string) => void
  readonly reject: (error: unknown) => void
  settled: boolean
}

export type BatchOptions = {
  readonly redis: CorkedRedis
  readonly prefix: string
  readonly queue: string
  readonly durability: Durability
  readonly ackDeadlineMs: number
  /** The stream of accepted events. */
  readonly inbox?: { readonly key: string } | undefined
}

/**
 * Gathers the adds of one queue. What arrives in one turn of the event loop, or while a call is under way, goes out in
 * the next call: alone, an add waits for nothing; under load, batches grow by themselves.
 */
export class Batch {
  readonly #options: BatchOptions
  readonly #keys: readonly string[]
  #waiting: Pending[] = []
  #inFlight: Pending[] = []
  /** The last call had no answer in time. */
  #isSilent = false
  /** Size of the batch before. */
  #last = 0
  #scheduled = false
  #sweeper: NodeJS.Timeout | undefined
  #drained: (() => void)[] = []

  constructor(options: BatchOptions) {
    this.#options = options
    this.#keys = addKeys(options.prefix, options.queue)
  }

  /** The id under which the job, or the one that it duplicates, is stored. Rejects with `store-unavailable`. */
  add(args: AddArguments): Promise<string> {
    const away = this.#away()
    if (away !== undefined) return Promise.reject(new MillraceError('store-unavailable', away, { retryAfter: 2 }))
    return new Promise((resolve, reject) => {
      const deadline = Date.now() + this.#options.ackDeadlineMs
      this.#waiting.push({ args, deadline, resolve, reject, settled: false })
      if (this.#inFlight.length === 0 && !this.#scheduled) {
        this.#scheduled = true
        setImmediate(() => void this.#flush())
      }
      // One turn later: after a turn that took long, timers come before the answers that have arrived meanwhile.
      this.#sweeper ??= setInterval(() => setImmediate(() => this.#sweep()), sweepMs)
    })
  }

  /** Why there is no use in waiting for an answer. */
  #away(): string | undefined {
    if (this.#options.redis.status !== 'ready') return 'the queue store is not connected'
    // The call under way will tell; who comes meanwhile need not wait for its deadline as well.
    return this.#isSilent && this.#inFlight.length > 0 ? 'the queue store does not answer' : undefined
  }

  drained(): Promise<void> {
    return this.#inFlight.length + this.#waiting.length === 0
      ? Promise.resolve()
      : new Promise((resolve) => this.#drained.push(resolve))
  }

  async #flush(): Promise<void> {
    this.#scheduled = false
    while (this.#waiting.length > 0) {
      const batch = this.#take()
      this.#inFlight = batch
      try {
        const ids = await this.#send(batch)
        this.#isSilent = false
        for (const [i, pending] of batch.entries()) settle(pending, ids[i] as string)
      } catch (error) {
        this.#isSilent = /timed out/i.test(messageOf(error))
        for (const pending of batch) settle(pending, unavailable(error))
      }
      this.#inFlight = []
    }
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
    for (const resolve of this.#drained.splice(0)) resolve()
  }

  #take(): Pending[] {
    // Half of what waits and of what went before: taking everything would make senders that wait for their answer move in
    // two crowds, one of which is always answered at once and then idle. Batches of one size keep both sides at work.
    const most = Math.min(maxJobs, Math.max(minBatch, Math.ceil((this.#waiting.length + this.#last) / 2)))
    let bytes = 0
    let count = 0
    for (const { args } of this.#waiting) {
      bytes += args[3].length + args[10].length + args[11].length
      if (count > 0 && (count === most || bytes > maxBytes)) break
      count += 1
    }
    this.#last = count
    return this.#waiting.splice(0, count)
  }

  async #send(batch: readonly Pending[]): Promise<readonly string[]> {
    const { redis, durability, ackDeadlineMs, prefix, queue } = this.#options
    const jobs = batch.map((pending) => pending.args)
    const args = callArguments(`${prefix}:${queue}:`, this.#options.inbox?.key ?? '', jobs)
    const adding = addAll(redis, this.#keys, args)
    // Now, and not after the answers to the call before have been written: the store would be idle meanwhile.
    redis.push()
    const answer = await adding
    await fsynced(redis, durability, ackDeadlineMs)
    return idsOf(jobs, answer)
  }

  /** A store that hangs gives neither answer nor error; whoever waits gets one at the deadline. */
  #sweep(): void {
    const now = Date.now()
    const late = (pending: Pending) => pending.deadline <= now
    if (this.#inFlight.some(late)) this.#isSilent = true
    for (const pending of [...this.#inFlight, ...this.#waiting].filter(late))
      settle(pending, unavailable(new Error(`no answer within ${this.#options.ackDeadlineMs} ms`)))
    this.#waiting = this.#waiting.filter((pending) => !pending.settled)
  }
}

function settle(pending: Pending, answer: string | MillraceError): void {
  if (pending.settled) return
  pending.settled = true
  if (typeof answer === 'string') pending.resolve(answer)
  else pending.reject(answer)
}

export function unavailable(cause: unknown): MillraceError {
  const why = messageOf(cause)
  // Redis 6 puts "Error running script …" in front.
  const full = /\b(OOM|MISCONF|NOREPLICAS|READONLY)\b/.test(why)
  return new MillraceError('store-unavailable', `the queue store did not take it: ${why.split('\n')[0]}`, {
    cause,
    retryAfter: full ? 10 : 2,
  })
}
