import type { Redis } from 'ioredis'
import { type Duration, durationMs } from '../define/duration.ts'
import type { AnyQueue } from '../define/queue.ts'
import { MillraceError } from '../errors.ts'
import type { BullQueue } from './bull.ts'
import { isJobId, unknownJob } from './inspect.ts'

/**
 * A job's result, as soon as it is done. Throws `job-failed` with the reason when it is dead, `wait-timeout`, and
 * `unknown-queue` or `unknown-job`: one that has ended and is not kept is not known any more.
 */
export type WaitFor = (queue: AnyQueue | string, id: string, timeout: Duration) => Promise<unknown>

export function createWaitFor(bull: ReadonlyMap<string, BullQueue>, waits: Waits): WaitFor {
  return async (queue, id, timeout) => {
    const name = typeof queue === 'string' ? queue : queue.name
    const found = bull.get(name)
    if (!found) throw new MillraceError('unknown-queue', `there is no queue '${name}'`)
    if (!isJobId(id)) throw unknownJob(found, id)
    const end = await waits.end(found, id, durationMs(timeout, 'waitFor()'))
    if (end?.state === 'completed') return end.result
    if (end?.state === 'failed') throw new MillraceError('job-failed', `job ${id} of '${name}' is dead: ${end.reason}`)
    if ((await found.redis.exists(found.toKey(id))) === 0) throw unknownJob(found, id)
    throw new MillraceError('wait-timeout', `job ${id} of '${name}' has not ended within ${timeout}`)
  }
}

/** What a job came to. */
export type JobEnd =
  | { readonly state: 'completed'; readonly result: unknown }
  | { readonly state: 'failed'; readonly reason: string }

/** One read of the stream takes at most this long to hear of another queue, should nobody be able to interrupt it. */
const blockMs = 5_000
/** Each job that is waited for is looked at so often, in case its event was trimmed away before it was read. */
const lookMs = 1_000
const perRead = 1_000
/** Jobs in one round trip of a look. */
const perLook = 500
/** More would only show that somebody waits in a loop. */
const mostWaiters = 10_000

type Waiter = {
  readonly queue: BullQueue
  readonly id: string
  readonly end: (end: JobEnd | 'gone') => void
  misses: number
}

/**
 * Waits for the ends of jobs: one connection for the whole process, opened for the first one, which reads BullMQ's events
 * of the queues that somebody waits for. Where reading begins is settled before the job is looked at, so no end falls
 * between the two.
 */
export class Waits {
  readonly name = 'waits'
  readonly #open: () => Redis
  readonly #waiters = new Map<string, Set<Waiter>>()
  /** Where each queue's stream has been read up to. */
  readonly #read = new Map<string, string>()
  readonly #queues = new Map<string, BullQueue>()
  #redis: Redis | undefined
  #clientId: number | undefined
  #loop: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #count = 0
  #isLooking = false
  #isStopped = false

  /** `open` opens a connection on which commands may block. */
  constructor(open: () => Redis) {
    this.#open = open
  }

  /** Who waits is told that the time is over. */
  quiet(): void {
    this.#isStopped = true
    clearInterval(this.#timer)
    for (const waiters of this.#waiters.values()) for (const { end } of waiters) end('gone')
    this.#redis?.disconnect()
  }

  async stop(): Promise<void> {
    this.quiet()
    await this.#loop
  }

  /** What the job came to, or undefined when it has not ended in time, or is not there any more. `signal` gives up. */
  async end(queue: BullQueue, id: string, timeoutMs: number, signal?: AbortSignal): Promise<JobEnd | undefined> {
    const already = await lookAt(queue, id)
    if (already !== undefined || this.#isStopped || signal?.aborted) return already === 'gone' ? undefined : already
    if (this.#count >= mostWaiters)
      throw new MillraceError('overloaded', `${mostWaiters} wait for jobs already`, { retryAfter: 2 })
    this.#count += 1
    const key = queue.toKey(id)
    let waiter: Waiter | undefined
    let timer: NodeJS.Timeout | undefined
    let giveUp = () => {}
    try {
      const ended = new Promise<JobEnd | undefined>((resolve) => {
        giveUp = () => resolve(undefined)
        waiter = { queue, id, end: (end) => resolve(end === 'gone' ? undefined : end), misses: 0 }
        const waiters = this.#waiters.get(key) ?? new Set()
        this.#waiters.set(key, waiters.add(waiter))
        timer = setTimeout(giveUp, timeoutMs)
        signal?.addEventListener('abort', giveUp)
      })
      await this.#listen(queue)
      const now = await lookAt(queue, id)
      if (now !== undefined && now !== 'gone') return now
      return await ended
    } finally {
      this.#count -= 1
      clearTimeout(timer)
      signal?.removeEventListener('abort', giveUp)
      const waiters = this.#waiters.get(key)
      if (waiter) waiters?.delete(waiter)
      if (waiters?.size === 0) this.#waiters.delete(key)
      this.#forget(queue)
    }
  }

  /** Reads the queue's events from now on. */
  async #listen(queue: BullQueue): Promise<void> {
    const stream = queue.toKey('events')
    if (!this.#read.has(stream)) {
      const [last] = await queue.redis.xrevrange(stream, '+', '-', 'COUNT', 1)
      // Two may have begun at once: what has been read since must not be read again from earlier, nor skipped.
      if (!this.#read.has(stream)) this.#read.set(stream, last?.[0] ?? '0-0')
      this.#queues.set(stream, queue)
      // The read under way does not know of this queue.
      if (this.#clientId !== undefined) await queue.redis.client('UNBLOCK', this.#clientId).catch(() => {})
    }
    this.#timer ??= setInterval(() => void this.#lookAtAll(), lookMs)
    if (!this.#isStopped) this.#loop ??= this.#follow()
  }

  /** Nobody waits for its jobs any more: its events are not read again before somebody does. */
  #forget(queue: BullQueue): void {
    const stream = queue.toKey('events')
    for (const waiters of this.#waiters.values()) for (const other of waiters) if (other.queue === queue) return
    this.#read.delete(stream)
    this.#queues.delete(stream)
    if (this.#count > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  async #follow(): Promise<void> {
    const redis = this.#open()
    this.#redis = redis
    redis.on('ready', () => {
      redis.client('ID').then(
        (id) => {
          this.#clientId = Number(id)
        },
        () => {},
      )
    })
    while (!this.#isStopped && this.#read.size > 0) {
      const streams = [...this.#read.keys()]
      try {
        const ids = [...this.#read.values()]
        const found = await redis.xread('COUNT', perRead, 'BLOCK', blockMs, 'STREAMS', ...streams, ...ids)
        for (const [stream, events] of found ?? []) this.#hear(stream, events)
      } catch {
        if (this.#isStopped) break
        // The store is away. The connection comes back by itself; until then the jobs are looked at.
        await new Promise((resolve) => setTimeout(resolve, lookMs).unref())
      }
    }
    redis.disconnect()
    this.#redis = undefined
    this.#clientId = undefined
    this.#loop = undefined
    // Somebody may have come in just now.
    if (!this.#isStopped && this.#read.size > 0) this.#loop = this.#follow()
  }

  #hear(stream: string, events: [id: string, fields: string[]][]): void {
    const last = events.at(-1)
    if (last && this.#read.has(stream)) this.#read.set(stream, last[0])
    const queue = this.#queues.get(stream)
    for (const [, fields] of events) {
      const field = (name: string) => {
        for (let i = 0; i + 1 < fields.length; i += 2) if (fields[i] === name) return fields[i + 1]
        return undefined
      }
      const [event, id] = [field('event'), field('jobId')]
      if (!queue || id === undefined || (event !== 'completed' && event !== 'failed')) continue
      const end: JobEnd =
        event === 'completed'
          ? { state: 'completed', result: parsed(field('returnvalue')) }
          : { state: 'failed', reason: field('failedReason') ?? '' }
      for (const waiter of this.#waiters.get(queue.toKey(id)) ?? []) waiter.end(end)
    }
  }

  async #lookAtAll(): Promise<void> {
    if (this.#isLooking) return
    this.#isLooking = true
    try {
      const waiters = [...this.#waiters.values()].flatMap((some) => [...some])
      for (let i = 0; i < waiters.length; i += perLook) {
        const some = waiters.slice(i, i + perLook)
        const pipeline = some[0]?.queue.redis.pipeline()
        for (const { queue, id } of some) pipeline?.hmget(queue.toKey(id), ...endFields)
        const found = (await pipeline?.exec()) ?? []
        some.forEach((waiter, at) => {
          const [error, values] = found[at] ?? [new Error('no answer')]
          const end = error ? undefined : endOf(values as (string | null)[])
          // A job that is kept for no time at all is told of by its event only, which may be on its way.
          if (end === 'gone') waiter.misses += 1
          if (end !== undefined && (end !== 'gone' || waiter.misses > 1)) waiter.end(end)
        })
      }
    } catch {
      // The store is away; the next look comes.
    } finally {
      this.#isLooking = false
    }
  }
}

/** What it came to; `gone` when there is no such job, undefined when it has not ended. */
async function lookAt(queue: BullQueue, id: string): Promise<JobEnd | 'gone' | undefined> {
  return endOf(await queue.redis.hmget(queue.toKey(id), ...endFields))
}

const endFields = ['name', 'finishedOn', 'failedReason', 'returnvalue']

function endOf([name, finishedOn, reason, result]: readonly (string | null)[]): JobEnd | 'gone' | undefined {
  if (name === null) return 'gone'
  if (finishedOn === null) return undefined
  // A result is written only by an end that was good; a retry takes it away again.
  return result !== null && result !== undefined
    ? { state: 'completed', result: parsed(result) }
    : { state: 'failed', reason: reason ?? '' }
}

function parsed(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? 'null')
  } catch {
    return text
  }
}
