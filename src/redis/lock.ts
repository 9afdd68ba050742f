import type { Redis } from 'ioredis'

/** KEYS[1] the lock, ARGV[1] whose it is. One that ran out may be another's by now. */
const releaseScript = `if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end`

/** Gives a lock back that was taken by `SET … PX … NX`, if it is still ours. */
export async function release(redis: Redis, lock: string, mine: string): Promise<void> {
  await redis.eval(releaseScript, 1, lock, mine)
}
