import type { Redis } from 'ioredis'
import { messageOf } from '../errors.ts'
import type { Metrics } from '../observe/metrics.ts'
import { readFacts, type StoreFacts } from '../redis/store.ts'

const everyMs = 1_000
const silentMs = 1_000
/** Of the watermark. */
const tightShare = 0.9

/**
 * Looks at a store each second, so that a full one is known before it refuses. At maxmemory BullMQ's workers cannot
 * fetch, so the queue would stay full for ever; new work is therefore refused well below.
 */
export class StoreWatch {
  readonly name: string
  readonly #redis: Redis
  readonly #store: 'queue' | 'cache'
  readonly #watermark: number
  readonly #metrics: Metrics
  #timer: NodeJS.Timeout | undefined
  #facts: StoreFacts | undefined
  #error: string | undefined = 'not asked yet'

  constructor({
    redis,
    store,
    watermark,
    metrics,
  }: { redis: Redis; store: 'queue' | 'cache'; watermark: number; metrics: Metrics }) {
    this.name = `watch ${store}`
    this.#redis = redis
    this.#store = store
    this.#watermark = watermark
    this.#metrics = metrics
  }

  async start(): Promise<void> {
    await this.look()
    this.#timer = setInterval(() => void this.look(), everyMs)
  }

  stop(): Promise<void> {
    clearInterval(this.#timer)
    return Promise.resolve()
  }

  /** What the store said last; an `error` when it did not answer the last time. */
  get seen(): { facts: StoreFacts | undefined; error: string | undefined } {
    return { facts: this.#facts, error: this.#error }
  }

  get memoryRatio(): number {
    const { usedMemory = 0, maxMemory = 0 } = this.#facts ?? {}
    return maxMemory > 0 ? usedMemory / maxMemory : 0
  }

  /** Whether the watermark is near: time to give up what can be done without. */
  readonly isTight = (): boolean => this.memoryRatio > this.#watermark * tightShare

  /** Why no new work may be stored; undefined when it may. */
  readonly refusal = (): string | undefined => {
    if (this.memoryRatio <= this.#watermark) return undefined
    return `the queue store is ${Math.round(this.memoryRatio * 100)} % full; new work is taken below ${Math.round(this.#watermark * 100)} %`
  }

  /** Asks the store now. */
  async look(): Promise<void> {
    // A store that hangs says nothing for as long as the connection has patience; nobody should wait for that to know.
    const silent = setTimeout(() => {
      this.#error = 'the store does not answer'
    }, silentMs)
    try {
      this.#facts = await readFacts(this.#redis)
      this.#error = undefined
      this.#metrics.storeMemoryRatio.set({ store: this.#store }, this.memoryRatio)
      this.#metrics.storeEvictedKeys.set({ store: this.#store }, this.#facts.evictedKeys)
    } catch (error) {
      const why = messageOf(error)
      // ioredis' own words are about its options.
      this.#error = /max retries|timed out|closed|writeable/i.test(why) ? 'the store does not answer' : why
    } finally {
      clearTimeout(silent)
    }
  }
}
