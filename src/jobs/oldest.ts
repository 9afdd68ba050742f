import type { Job as BullJob } from 'bullmq'
import { type BullQueue, dueAt } from './bull.ts'

/** Lanes that are looked at: with more keys than this that wait at once, the age is that of the oldest among these. */
const mostLanes = 500

/**
 * KEYS[1] the names of the gate's lanes, by number; ARGV[1] how many lanes are looked at. The id of the job that came
 * first among the lanes' first ones; in a score, what is left below the lane's number counts up with each job.
 */
const firstScript = `
local p = string.sub(KEYS[1], 1, -11)
local names = redis.call('HSCAN', KEYS[1], 0, 'COUNT', ARGV[1])[2]
local oldest, came
for i = 1, math.min(#names, 2 * ARGV[1]), 2 do
  local from = tonumber(names[i]) * 4294967296
  local first = redis.call('ZRANGEBYSCORE', p .. 'prioritized', string.format('%.0f', from), '(' .. string.format('%.0f', from + 4294967296), 'WITHSCORES', 'LIMIT', 0, 1)
  if first[1] and (not came or first[2] - from < came) then oldest, came = first[1], first[2] - from end
end
return oldest or false`

/** Seconds since the oldest waiting job was enqueued, or came to be due; 0 when none waits. */
export async function oldestWaitingSeconds(queue: BullQueue): Promise<number> {
  const { redis } = queue
  // Jobs come in on the list's left end and are taken from its right; reading one id is cheap however long it is.
  const ids = await Promise.all([
    redis.lindex(queue.toKey('wait'), -1),
    redis.eval(firstScript, 1, queue.toKey('gate:names'), mostLanes) as Promise<string | null>,
  ])
  const ages = await Promise.all(ids.map((id) => (id === null ? 0 : secondsSince(queue, id))))
  return Math.max(...ages)
}

async function secondsSince(queue: BullQueue, id: string): Promise<number> {
  const [timestamp, opts] = await queue.redis.hmget(queue.toKey(id), 'timestamp', 'opts')
  if (!timestamp) return 0
  const since = dueAt({ timestamp: Number(timestamp), opts: JSON.parse(opts ?? '{}') as BullJob['opts'] })
  return Math.max(0, (Date.now() - since) / 1_000)
}
