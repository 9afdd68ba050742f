import type { AnyQueue } from '../define/queue.ts'
import type { Logger } from '../observe/log.ts'
import { TenantLoad } from '../policy/load.ts'
import type { BullQueue } from './bull.ts'
import type { StoreWatch } from './store-watch.ts'

const everyMs = 1_000
/** Jobs whose size is asked for to estimate that of all. */
const sample = 16
/** What a job takes beside its payload: hash, options, place in a list (measured: 0.7 to 1.1 KB). */
const jobBytes = 900
const halfLifeMs = 60_000

/**
 * Says no to new work before the store has to: when a queue is over its budget, when the store is nearly full and the
 * tenant sends more than its part, and above the watermark to everybody.
 */
export class Shedder {
  readonly name = 'shedder'
  readonly #watch: StoreWatch
  readonly #budgets: readonly (readonly [AnyQueue, BullQueue, number])[]
  readonly #log: Logger
  readonly #load = new TenantLoad(halfLifeMs)
  readonly #over = new Map<string, string>()
  #timer: NodeJS.Timeout | undefined

  constructor({
    watch,
    queues,
    bull,
    log,
  }: {
    watch: StoreWatch
    queues: readonly AnyQueue[]
    bull: ReadonlyMap<string, BullQueue>
    log: Logger
  }) {
    this.#watch = watch
    this.#log = log
    this.#budgets = queues.flatMap((queue) => {
      const own = bull.get(queue.name)
      return own && queue.budget !== undefined ? [[queue, own, queue.budget] as const] : []
    })
  }

  start(): Promise<void> {
    if (this.#budgets.length > 0) this.#timer = setInterval(() => void this.look(), everyMs)
    return Promise.resolve()
  }

  stop(): Promise<void> {
    clearInterval(this.#timer)
    return Promise.resolve()
  }

  /** Why nothing at all may be stored now; undefined when it may. */
  readonly isFull = (): string | undefined => this.#watch.refusal()

  /** Why this one may not; undefined when it may, and then its bytes count as the tenant's. */
  readonly isOver = (
    queue: string,
    tenant: string | undefined,
    bytes: number,
    now: number = Date.now(),
  ): string | undefined => {
    const over = this.#over.get(queue)
    if (over !== undefined || tenant === undefined) return over
    if (this.#watch.isTight() && this.#load.isHeavy(tenant, now))
      return 'the queue store is nearly full, and this tenant sends more than its part'
    this.#load.add(tenant, bytes, now)
    return undefined
  }

  /** Compares each queue with its budget. */
  async look(): Promise<void> {
    for (const [{ name }, bull, budget] of this.#budgets) {
      try {
        const size = await unfinishedBytes(bull)
        const mb = (bytes: number) => Math.round(bytes / 1024 ** 2)
        if (size <= budget) this.#over.delete(name)
        else this.#over.set(name, `queue '${name}' holds about ${mb(size)} MB of its budget of ${mb(budget)} MB`)
      } catch (error) {
        // What was true a second ago is the best guess.
        this.#log.debug({ err: error, queue: name }, 'could not compare the queue with its budget')
      }
    }
  }
}

/** Jobs that wait, are delayed or prioritized, times the mean size of some of them. */
async function unfinishedBytes(bull: BullQueue): Promise<number> {
  const { redis } = bull
  const [waiting, delayed, prioritized] = await Promise.all([
    redis.llen(bull.toKey('wait')),
    redis.zcard(bull.toKey('delayed')),
    redis.zcard(bull.toKey('prioritized')),
  ])
  const count = waiting + delayed + prioritized
  if (count === 0) return 0
  // Both ends and between: payloads of one time tend to be alike.
  const asked = Math.min(sample, waiting)
  const places = Array.from({ length: asked }, (_, i) => Math.round((i * (waiting - 1)) / Math.max(1, asked - 1)))
  const ids = [
    ...(await Promise.all(places.map((place) => redis.lindex(bull.toKey('wait'), place)))),
    ...(await redis.zrange(bull.toKey('delayed'), '0', String(sample - 1))),
    ...(await redis.zrange(bull.toKey('prioritized'), '0', String(sample - 1))),
  ]
  const sizes = await Promise.all(ids.map((id) => (id === null ? 0 : redis.hstrlen(bull.toKey(id), 'data'))))
  const mean = sizes.reduce((sum, size) => sum + size, 0) / Math.max(1, sizes.length)
  return count * (mean + jobBytes)
}
