import type { Worker as BullWorker } from 'bullmq'
import type { Redis } from 'ioredis'
import { messageOf } from '../errors.ts'
import { scriptCall } from '../redis/script-call.ts'

/** Between two tries, ms. */
const againMs = 500
/** BullMQ's code for a job whose lock has run out. */
const missingLock = -2

/** What a store says that takes no writes for a while, or not from us. Redis 6 puts "Error running script …" in front. */
export function isRefusal(error: unknown): boolean {
  return /\b(OOM|MISCONF|NOREPLICAS|READONLY|NOPERM)\b/.test(messageOf(error))
}

/** BullMQ's ways of storing what became of an attempt, each with the place of the job's id, or of the job, and of its lock's token. */
const ends = {
  moveToCompleted: { job: 0, token: 3 },
  moveToFailed: { job: 0, token: 3 },
  moveToDelayed: { job: 0, token: 3 },
  retryJob: { job: 0, token: 2 },
  moveJobFromActiveToWait: { job: 0, token: 1 },
} as const

/** KEYS: a job's lock, the active list. ARGV: token, ms, id. The lock again, if nobody has taken the job back meanwhile. */
const lockAgain = scriptCall(
  `if redis.call('LPOS', KEYS[2], ARGV[3]) then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2], 'NX') end`,
)

/**
 * A store may refuse writes for a while: too few replicas, a disk that is full, memory that is. What BullMQ is refused then it takes
 * for a failure of the job, which it cannot store either, and forgets the job; when the lock has run out, work that was done is done
 * again. Here the end of an attempt is offered until it is taken. `onRefused` hears of each refusal.
 */
export function insistOnEnds(
  bull: BullWorker,
  { redis, lockMs, onRefused }: { redis: Redis; lockMs: number; onRefused: (error: Error) => void },
): void {
  const backend = bull.getBackend() as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>
  for (const [name, at] of Object.entries(ends)) {
    const end = backend[name]?.bind(backend)
    if (!end) throw new Error(`BullMQ's backend has no ${name}`)
    backend[name] = async (...args) => {
      for (let refused = 0; ; ) {
        try {
          return await end(...args)
        } catch (error) {
          if (isRefusal(error)) {
            refused += 1
            onRefused(error as Error)
            await new Promise((resolve) => setTimeout(resolve, againMs))
          } else if (refused > 0 && (error as { code?: unknown }).code === missingLock) {
            // It ran out while the store could not prolong it; once is enough, or somebody else has the job.
            refused = 0
            const job = args[at.job] as string | { id: string }
            const id = typeof job === 'string' ? job : job.id
            const keys = [`${bull.toKey(id)}:lock`, bull.toKey('active')]
            await lockAgain(redis, keys, [String(args[at.token]), lockMs, id])
          } else throw error
        }
      }
    }
  }
}
