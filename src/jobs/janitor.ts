import type { AnyQueue } from '../define/queue.ts'
import type { Logger } from '../observe/log.ts'
import type { BullQueue } from './bull.ts'

const everyMs = 60_000
/** Small enough that nobody else waits for the store noticeably. */
const perCall = 500

/**
 * Removes finished jobs when their time is over. BullMQ does so only when another job of the same queue finishes, so a
 * queue that has gone quiet would keep its last ones, and their payloads, for ever.
 */
export class Janitor {
  readonly name = 'janitor'
  readonly #queues: readonly AnyQueue[]
  readonly #bull: ReadonlyMap<string, BullQueue>
  readonly #log: Logger
  #timer: NodeJS.Timeout | undefined
  #round: Promise<void> = Promise.resolve()
  #stopped = false

  constructor({
    queues,
    bull,
    log,
  }: { queues: readonly AnyQueue[]; bull: ReadonlyMap<string, BullQueue>; log: Logger }) {
    this.#queues = queues
    this.#bull = bull
    this.#log = log
  }

  start(): Promise<void> {
    this.#stopped = false
    this.#timer = setInterval(() => {
      this.#round = this.clean().catch((error) =>
        this.#log.warn({ err: error }, 'could not remove old jobs; trying again in a minute'),
      )
    }, everyMs)
    return Promise.resolve()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#timer)
    await this.#round
  }

  /** One round over all queues. Several processes may do it at once. */
  async clean(now: number = Date.now()): Promise<void> {
    for (const queue of this.#queues) {
      const bull = this.#bull.get(queue.name)
      if (!bull) continue
      for (const [state, keep] of [
        ['completed', queue.keep.completed],
        ['failed', queue.keep.dead],
      ] as const) {
        while (!this.#stopped && (await removeBefore(bull, state, now - keep.ageMs)) === perCall);
      }
    }
  }
}

/**
 * Not BullMQ's clean(): that removes a job's deduplication key along with it, and the same event would run again within
 * its window. What is removed here is what the keep policy removes: the job's hash, its log, and its place in the set.
 */
async function removeBefore(bull: BullQueue, state: 'completed' | 'failed', time: number): Promise<number> {
  const set = bull.toKey(state)
  const ids = await bull.redis.zrangebyscore(set, '-inf', time, 'LIMIT', 0, perCall)
  if (ids.length === 0) return 0
  await bull.redis
    .multi()
    .zrem(set, ...ids)
    .unlink(...ids.flatMap((id) => [bull.toKey(id), bull.toKey(`${id}:logs`)]))
    .exec()
  return ids.length
}
