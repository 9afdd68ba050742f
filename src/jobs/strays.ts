import { Job as BullJob } from 'bullmq'
import type { Redis } from 'ioredis'
import type { Logger } from '../observe/log.ts'
import type { Consumer } from './consumer.ts'

/*
 * Strays: jobs that the store had handed out to us at the very moment when it died, or the connection broke, so that the
 * answer never came. They are active under our own lock, nobody works on them, and they would come back only when that
 * lock has run out. After a reconnection they are looked for, and put back as a shutdown puts jobs back: first in line, no
 * attempt used up.
 */

/** An answer that is under way has come by then: the two looks go over the very connection that answers come on. */
const betweenLooksMs = 500

/** Puts back what is active under `consumer`'s locks and not held by it. Resolves with how many. */
export async function returnStrays(consumer: Consumer, redis: Redis, log: Logger): Promise<number> {
  const first = await suspects(consumer, redis)
  if (first.size === 0) return 0
  await new Promise((resolve) => setTimeout(resolve, betweenLooksMs))
  let count = 0
  for (const [id, token] of await suspects(consumer, redis)) {
    if (first.get(id) !== token || consumer.closing) continue
    const job = await BullJob.fromId(consumer, id)
    // In one step, and only while the lock is still this one.
    await job?.moveToWait(token)
    count += 1
    log.warn({ job: id }, 'handed out when the store died; put back')
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
