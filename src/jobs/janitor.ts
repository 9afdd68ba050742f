import type { AnyQueue } from '../define/queue.ts'
import type { Logger } from '../observe/log.ts'
import { forgetFunction } from './act-scripts.ts'
import type { BullQueue } from './bull.ts'
import { noteDead } from './groups.ts'
import { type Rounds, startRounds } from './rounds.ts'

const everyMs = 60_000
/** Small enough that nobody else waits for the store noticeably. */
const perCall = 500

/**
 * Removes finished jobs that are over age or count. Completed ones BullMQ removes as well, but only when another job of
 * the same queue finishes: one that has gone quiet would keep its last ones, and their payloads, for ever.
 */
export class Janitor {
  readonly name = 'janitor'
  readonly #queues: readonly AnyQueue[]
  readonly #bull: ReadonlyMap<string, BullQueue>
  readonly #log: Logger
  #rounds: Rounds | undefined
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
    this.#rounds = startRounds(everyMs, () =>
      this.clean().catch((error) =>
        this.#log.warn({ err: error }, 'could not remove old jobs; trying again in a minute'),
      ),
    )
    return Promise.resolve()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#rounds?.stop()
  }

  /** One round over all queues. Several processes may do it at once. */
  async clean(now: number = Date.now()): Promise<void> {
    for (const queue of this.#queues) {
      const bull = this.#bull.get(queue.name)
      if (!bull) continue
      // Before the old ones go, whose groups would not be known otherwise.
      await noteDead(bull).catch((error) =>
        this.#log.warn({ err: error, queue: queue.name }, 'could not take notice of what died'),
      )
      for (const [state, keep] of [
        ['completed', queue.keep.completed],
        ['failed', queue.keep.dead],
      ] as const) {
        while (!this.#stopped && (await removeOld(bull, state, now - keep.ageMs, keep.count)) === perCall);
      }
    }
  }
}

/**
 * KEYS[1] set of finished jobs. ARGV[1] key prefix of the queue, [2] remove what finished before, [3] and the oldest beyond
 * this count, [4] how many at most, [5] '1' to forget deduplication keys as well. Returns how many were removed.
 * A script, because a job that is retried between reading and removing would otherwise lose its payload.
 */
const removeOldScript = `${forgetFunction}
redis.call('UNLINK', aliasBuckets(ARGV[1]).old)
local old = redis.call('ZCOUNT', KEYS[1], '-inf', ARGV[2])
local excess = redis.call('ZCARD', KEYS[1]) - ARGV[3]
local count = math.min(math.max(old, excess), tonumber(ARGV[4]))
if count < 1 then return 0 end
local ids = redis.call('ZRANGE', KEYS[1], 0, count - 1)
for _, id in ipairs(ids) do
  local job = ARGV[1] .. id
  if ARGV[5] == '1' then forget(ARGV[1], id) end
  redis.call('ZREM', KEYS[1], id)
  redis.call('UNLINK', job, job .. ':logs')
end
return #ids`

/**
 * Not BullMQ's clean(): that forgets a job's deduplication key along with it, and an event that is done would run again
 * within its window. Only a dead job's is forgotten here: when it comes again, somebody still wants it done.
 */
async function removeOld(
  bull: BullQueue,
  state: 'completed' | 'failed',
  before: number,
  count: number,
): Promise<number> {
  const forget = state === 'failed' ? '1' : '0'
  const [set, prefix] = [bull.toKey(state), bull.toKey('')]
  return Number(await bull.redis.eval(removeOldScript, 1, set, prefix, before, count, perCall, forget))
}
