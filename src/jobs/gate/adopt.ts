import type { JobsOptions } from 'bullmq'
import type { AnyQueue } from '../../define/queue.ts'
import type { BullQueue, JobMeta } from '../bull.ts'
import { inputOf } from '../payload.ts'
import { anyGate, gateFunctions } from './lua.ts'
import { placeOf } from './place.ts'
import { TermsWriter } from './terms.ts'

/*
 * Jobs that waited before their queue had the gate that it has now: in BullMQ's plain list, under a priority of BullMQ's
 * own, or in lanes of another kind. They come into the lanes in which they would be, had they been stored now, and to the
 * front of these: their ids, which are made of the time, keep their order there. Nobody takes one from the plain list meanwhile (calls.ts).
 */

/** Small enough that nobody else waits for the store noticeably. */
const perCall = 200
/** Who adopts and is not heard of for so long has died. Others go on; without one, the gate takes in what is left without its keys. */
const patienceMs = 60_000

/** Said together with the settings when they are of another kind than those before. */
export function toAdopt(): Record<string, string | number> {
  return { adopt: Date.now() + patienceMs }
}

/** KEYS[1] the gate's settings. ARGV: for each job its id, and its options or '' for those that it has. */
const adoptScript = `${gateFunctions}${anyGate}
local p = string.sub(KEYS[1], 1, -5)
local packed = gateAt(p)
if not packed or redisCall('HEXISTS', KEYS[1], 'adopt') == 0 then return 0 end
redisCall('HSET', KEYS[1], 'adopt', ARGV[1])
for i = 2, #ARGV, 2 do more(p, packed).adopt(ARGV[i], ARGV[i + 1]) end
return 1`

/** Does nothing in a queue whose jobs are all where they belong. */
export async function adopt(bull: BullQueue, queue: AnyQueue): Promise<void> {
  const { redis } = bull
  const key = bull.toKey('gate')
  if ((await redis.hget(key, 'adopt')) === null) return
  const terms = new TermsWriter(redis, bull.opts.prefix ?? '')
  const move = async (ids: readonly string[]): Promise<boolean> => {
    const reads = redis.pipeline()
    for (const id of ids) reads.hmget(bull.toKey(id), 'data', 'opts')
    const found = (await reads.exec()) ?? []
    const args: string[] = []
    for (const [i, id] of ids.entries()) {
      const [error, values] = found[i] ?? []
      if (error) throw error
      const [data, opts] = values as (string | null)[]
      const placed = data && opts ? placedAnew(queue, data, opts) : undefined
      if (placed) await terms.ensure(queue, placed.meta.group ?? placed.meta.tenant ?? '')
      args.push(id, placed?.opts ?? '')
    }
    return (await redis.eval(adoptScript, 1, key, Date.now() + patienceMs, ...args)) === 1
  }
  for (;;) {
    // The oldest stands at the right end.
    const ids = await redis.lrange(bull.toKey('wait'), -perCall, -1)
    if (ids.length === 0) break
    if (!(await move(ids.reverse()))) return
  }
  let from = '-inf'
  for (;;) {
    const page = await redis.zrangebyscore(bull.toKey('prioritized'), from, '+inf', 'WITHSCORES', 'LIMIT', 0, perCall)
    const ids = page.filter((_, i) => i % 2 === 0)
    if (ids.length > 0 && !(await move(ids))) return
    const last = page.at(-1)
    if (last === undefined || ids.length < perCall) break
    // Of those that share the last score some may be left, unless all of them do.
    from = last === page[1] ? `(${last}` : last
  }
  await redis.hdel(key, 'adopt')
}

/** The options that the job would have, were it stored now; undefined for one that the queue's functions cannot read. */
function placedAnew(queue: AnyQueue, data: string, text: string): { opts: string; meta: JobMeta } | undefined {
  try {
    const opts = JSON.parse(text) as JobsOptions & { meta?: JobMeta }
    const { group: _group, key: _key, limit: _limit, ...own } = opts.meta ?? {}
    const meta = { ...own, ...placeOf(queue, inputOf({ data: JSON.parse(data) as unknown, opts }, queue), own.tenant) }
    return { opts: JSON.stringify({ ...opts, meta }), meta }
  } catch {
    return undefined
  }
}
