import type { Redis } from 'ioredis'
import type { Durability } from '../config.ts'

/** Resolves when what was written on this connection is on disk: with WAITAOF that has to be asked for. Rejects when it is not in time. */
export async function fsynced(redis: Redis, durability: Durability, deadlineMs: number): Promise<void> {
  if (durability !== 'waitaof') return
  const [local] = (await redis.call('WAITAOF', 1, 0, deadlineMs)) as [number]
  if (local < 1) throw new Error('the store did not fsync in time')
}
