import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import type { Logger } from '../observe/log.ts'
import { Pace } from '../policy/rate.ts'
import { keys } from '../redis/keys.ts'
import { release } from '../redis/lock.ts'
import { redriveStep } from './act-scripts.ts'
import type { BullQueue } from './bull.ts'
import { keptMs } from './redrive.ts'

/** Redrives that nobody works on, because whoever did has died, are looked for so often. */
const everyMs = 5_000
/** Whoever does not come back within this has died; longer than a restart of the store. */
const lockMs = 15_000
/** A step keeps the store from everything else for a millisecond or two. */
const perStep = 50
const stepMs = 50
/** Even when none is due: keeps the lock, and hears that it was stopped. */
const longestPauseMs = 1_000

/**
 * Carries out redrives at their pace. Any process may: one at a time works on each, and all that it does is in the store,
 * so another goes on where it died.
 */
export class Redriver {
  readonly name = 'redriver'
  readonly #me = randomUUID()
  readonly #redis: Redis
  readonly #bull: ReadonlyMap<string, BullQueue>
  readonly #prefix: string
  readonly #log: Logger
  readonly #running = new Map<string, Promise<void>>()
  readonly #wakes = new Set<() => void>()
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor({
    redis,
    bull,
    prefix,
    log,
  }: { redis: Redis; bull: ReadonlyMap<string, BullQueue>; prefix: string; log: Logger }) {
    this.#redis = redis
    this.#bull = bull
    this.#prefix = prefix
    this.#log = log
  }

  start(): Promise<void> {
    this.#timer = setInterval(() => void this.#lookForWork(), everyMs)
    void this.#lookForWork()
    return Promise.resolve()
  }

  quiet(): void {
    this.#isStopped = true
    clearInterval(this.#timer)
    for (const wake of this.#wakes) wake()
  }

  async stop(): Promise<void> {
    this.quiet()
    await Promise.all(this.#running.values())
  }

  /** Works on it until it is over, unless somebody else does. */
  run(token: string): Promise<void> {
    const running =
      this.#running.get(token) ??
      this.#carryOut(token)
        // The jobs that are left stay in the store; this process or another takes them up again.
        .catch((error) =>
          this.#log.warn({ err: error, redrive: token.slice(0, 6) }, 'redrive broken off; going on soon'),
        )
        .finally(() => this.#running.delete(token))
    this.#running.set(token, running)
    return running
  }

  async #lookForWork(): Promise<void> {
    try {
      for (const token of await this.#redis.smembers(keys.redrives(this.#prefix))) void this.run(token)
    } catch {
      // The store is away; the next look comes.
    }
  }

  async #carryOut(token: string): Promise<void> {
    const key = keys.redrive(this.#prefix, token)
    const lock = `${key}:lock`
    if (this.#isStopped || !(await this.#claim(lock))) return
    try {
      const [name, rate] = await this.#redis.hmget(key, 'queue', 'rate')
      const queue = this.#bull.get(name ?? '')
      // Forgotten, or of a queue that only others have.
      if (!queue) return void (name === null && (await this.#redis.srem(keys.redrives(this.#prefix), token)))
      const pace = new Pace(Number(rate), Date.now())
      let state = 'running'
      while (state === 'running' && !this.#isStopped) {
        const count = pace.take(perStep, Date.now())
        state = await this.#step(queue, key, lock, token, count)
        if (state === 'running') await this.#pause(Math.min(longestPauseMs, Math.max(stepMs, 1_000 / Number(rate))))
      }
      if (state === 'done') this.#log.info({ queue: queue.name, redrive: token.slice(0, 6) }, 'redrive is done')
    } finally {
      await release(this.#redis, lock, this.#me)
    }
  }

  /** True also when it is ours from before the store went away. */
  async #claim(lock: string): Promise<boolean> {
    return (
      (await this.#redis.set(lock, this.#me, 'PX', lockMs, 'NX')) !== null || (await this.#redis.get(lock)) === this.#me
    )
  }

  async #step(queue: BullQueue, key: string, lock: string, token: string, count: number): Promise<string> {
    const [state] = (await this.#redis.eval(
      redriveStep,
      4,
      key,
      `${key}:jobs`,
      lock,
      keys.redrives(this.#prefix),
      queue.toKey(''),
      this.#me,
      lockMs,
      count,
      keptMs,
      token,
      Date.now(),
    )) as [string, number]
    return state
  }

  #pause(ms: number): Promise<void> {
    if (this.#isStopped) return Promise.resolve()
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer)
        this.#wakes.delete(wake)
        resolve()
      }
      const timer = setTimeout(wake, ms)
      this.#wakes.add(wake)
    })
  }
}
