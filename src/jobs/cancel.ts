import type { Redis } from 'ioredis'
import type { Logger } from '../observe/log.ts'
import { cancelledMark } from '../policy/why.ts'
import { Channel } from '../redis/channel.ts'
import { keys } from '../redis/keys.ts'

/** What has jobs in hand: a Runner. */
export type InHand = {
  inHand(): readonly string[]
  /** False when it does not have the job. */
  cancel(id: string, reason: string): boolean
}

/**
 * When to look for the mark, after being told and after a reconnection: a process may be told of a job whose start is
 * still on its way to it.
 */
const looksMs = [0, 200, 1_000, 5_000]

/**
 * Hears that a job was cancelled, and stops it if it is in hand here. The channel is only the hint; what holds is the
 * mark in the job's hash, which also stops a job that nobody here had, at its next start.
 */
export class Cancellations {
  readonly name = 'cancellations'
  readonly #channel: Channel
  readonly #redis: Redis
  readonly #prefix: string
  readonly #runners: ReadonlyMap<string, InHand>
  readonly #log: Logger
  readonly #timers = new Set<NodeJS.Timeout>()

  constructor({
    subscriber,
    redis,
    prefix,
    runners,
    log,
  }: {
    /** A connection that is used for nothing else. */
    subscriber: Redis
    redis: Redis
    prefix: string
    /** By queue. */
    runners: ReadonlyMap<string, InHand>
    log: Logger
  }) {
    this.#channel = new Channel(subscriber, keys.cancel(prefix), {
      onMessage: (text) => {
        const [queue = '', id = ''] = text.split(' ')
        this.#later(() => this.#look(queue, [id]))
      },
      onListening: () => this.#later(() => this.#lookAtAll()),
      onError: (err) => log.warn({ err }, 'does not hear which jobs are cancelled'),
    })
    this.#redis = redis
    this.#prefix = prefix
    this.#runners = runners
    this.#log = log
  }

  start(): Promise<void> {
    return this.#channel.start()
  }

  stop(): Promise<void> {
    this.#channel.stop()
    for (const timer of this.#timers) clearTimeout(timer)
    this.#timers.clear()
    return Promise.resolve()
  }

  #later(look: () => Promise<void>): void {
    for (const ms of looksMs) {
      const timer = setTimeout(() => {
        this.#timers.delete(timer)
        look().catch((error) => this.#log.warn({ err: error }, 'could not see which jobs are cancelled'))
      }, ms).unref()
      this.#timers.add(timer)
    }
  }

  async #lookAtAll(): Promise<void> {
    for (const [queue, runner] of this.#runners) await this.#look(queue, runner.inHand())
  }

  async #look(queue: string, ids: readonly string[]): Promise<void> {
    const runner = this.#runners.get(queue)
    const mine = new Set(runner?.inHand())
    for (const id of ids) {
      if (!mine.has(id)) continue
      const mark = await this.#redis.hget(`${this.#prefix}:${queue}:${id}`, 'defa')
      // Stalls leave such a mark as well, and that is BullMQ's business.
      if (mark?.startsWith(cancelledMark) && runner?.cancel(id, mark)) this.#log.info({ queue, job: id }, mark)
    }
  }
}
