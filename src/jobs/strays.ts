import { Job as BullJob } from 'bullmq'
import type { Redis } from 'ioredis'
import type { Logger } from '../observe/log.ts'
import type { Consumer } from './consumer.ts'
import type { Consumers } from './consumers.ts'

/*
 * Strays: jobs that the store had handed out to us at the very moment when it died, or the connection broke, so that the
 * answer never came. They are active under our own lock, nobody works on them, and they would come back only when that
 * lock has run out. After a reconnection they are looked for, and put back as a shutdown puts jobs back: first in line, no
 * attempt used up.
 */

/** An answer that is under way has come by then: the two looks go over the very connection that answers come on. */
const betweenLooksMs = 500

/** After each reconnection, for all consumers of a connection. */
export class Strays {
  readonly name = 'strays'
  readonly #options: StraysOptions
  #looking: Promise<void> = Promise.resolve()
  #isOver = false

  constructor(options: StraysOptions) {
    this.#options = options
  }

  start(): Promise<void> {
    this.#options.redis.on('ready', this.#onReady)
    return Promise.resolve()
  }

  quiet(): void {
    this.#isOver = true
    this.#options.redis.off('ready', this.#onReady)
  }

  /** Waits for no look: it may wait for a store that is away, and what it does not find comes back all the same. */
  stop(): Promise<void> {
    this.quiet()
    return Promise.resolve()
  }

  readonly #onReady = () => {
    this.#looking = this.#looking.then(() => this.#look())
  }

  async #look(): Promise<void> {
    const { runners, redis, log } = this.#options
    for (const consumer of runners.flatMap((runner) => runner.consumers.all)) {
      if (this.#isOver) return
      // Lost again: the next reconnection brings the next look, and in the end the lock runs out.
      await returnStrays(consumer, redis, log).catch((err) => log.warn({ err }, 'strays could not be looked for'))
    }
  }
}

export type StraysOptions = {
  readonly runners: readonly { readonly consumers: Consumers }[]
  /** The connection of the consumers. */
  readonly redis: Redis
  readonly log: Logger
}

/** Puts back what is active under `consumer`'s locks and not held by it. Resolves with how many. */
async function returnStrays(consumer: Consumer, redis: Redis, log: Logger): Promise<number> {
  const first = await suspects(consumer, redis)
  if (first.size === 0) return 0
  await new Promise((resolve) => setTimeout(resolve, betweenLooksMs))
  let count = 0
  for (const [id, token] of await suspects(consumer, redis)) {
    if (first.get(id) !== token) continue
    const job = await BullJob.fromId(consumer, id)
    if (!job) continue
    // BullMQ has counted a start, which `expires` goes by.
    await redis.hincrby(consumer.toKey(id), 'ats', -1)
    // In one step, and only while the lock is still this one.
    await job.moveToWait(token)
    count += 1
    log.warn({ queue: consumer.name, job: id }, 'handed out when the store died; put back')
  }
  return count
}

/** Job → our lock on it. */
async function suspects(consumer: Consumer, redis: Redis): Promise<Map<string, string>> {
  const active = await redis.lrange(consumer.toKey('active'), 0, -1)
  if (active.length === 0) return new Map()
  const locks = await redis.mget(active.map((id) => `${consumer.toKey(id)}:lock`))
  // Tokens of a worker are its id and a number.
  const ours = active.flatMap((id, i): [string, string][] => {
    const token = locks[i]
    return token?.startsWith(`${consumer.id}:`) && !consumer.holds(id) ? [[id, token]] : []
  })
  return new Map(ours)
}
