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
    let isRunning = false
    this.#timer = setInterval(() => {
      if (isRunning) return
      isRunning = true
      this.#round = this.clean()
        .catch((error) => this.#log.warn({ err: error }, 'could not remove old jobs; trying again in a minute'))
        .finally(() => {
          isRunning = false
        })
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
 * KEYS[1] set of finished jobs. ARGV[1] key prefix of the queue, [2] remove what finished before, [3] how many at most,
 * [4] '1' to forget deduplication keys as well. Returns how many were removed.
 * A script, because a job that is retried between reading and removing would otherwise lose its payload.
 */
const removeBeforeScript = `
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', 0, ARGV[3])
for _, id in ipairs(ids) do
  local job = ARGV[1] .. id
  if ARGV[4] == '1' then
    local dedupe = redis.call('HGET', job, 'deid')
    local key = dedupe and (ARGV[1] .. 'de:' .. dedupe)
    if key and redis.call('GET', key) == id then redis.call('DEL', key) end
  end
  redis.call('ZREM', KEYS[1], id)
  redis.call('UNLINK', job, job .. ':logs')
end
return #ids`

/**
 * Not BullMQ's clean(): that forgets a job's deduplication key along with it, and an event that is done would run again
 * within its window. Only a dead job's is forgotten here: when it comes again, somebody still wants it done.
 */
async function removeBefore(bull: BullQueue, state: 'completed' | 'failed', time: number): Promise<number> {
  const isDead = state === 'failed' ? '1' : '0'
  return Number(await bull.redis.eval(removeBeforeScript, 1, bull.toKey(state), bull.toKey(''), time, perCall, isDead))
}
