import type { AnyQueue } from '../define/queue.ts'
import type { Logger } from '../observe/log.ts'
import type { BullQueue } from './bull.ts'

const everyMs = 60_000
/** One call blocks the store for about 2 ms for each thousand. */
const perCall = 1_000

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
  async clean(): Promise<void> {
    for (const queue of this.#queues) {
      for (const [state, keep] of [
        ['completed', queue.keep.completed],
        ['failed', queue.keep.dead],
      ] as const) {
        let removed: string[] = []
        do {
          if (this.#stopped) return
          removed = (await this.#bull.get(queue.name)?.clean(keep.ageMs, perCall, state)) ?? []
        } while (removed.length === perCall)
      }
    }
  }
}
