import { MillraceError, messageOf } from '../errors.ts'
import { cancelledMark, type Why } from '../policy/why.ts'
import { keys } from '../redis/keys.ts'
import { cancelScript, removeScript, retryScript } from './act-scripts.ts'
import type { BullQueue, JobMeta } from './bull.ts'
import { isJobId, pauseOf, unknownJob } from './inspect.ts'

/* What engineers do to one job or one queue. Every one of these may be repeated: what is so already stays so. */

/**
 * What became of the job, and the state it was in before. `cancelling` is in somebody's hand, who is being told; or is buried
 * when it is started: the next run of a schedule (`scheduled`), or one that another job is to follow (`followed`).
 */
export type Acted = { readonly id: string; readonly queue: string; readonly state: string; readonly was: string }

/** Who acts. To somebody of one tenant, another's job does not exist. */
export type Actor = { readonly name: string; readonly tenant?: string | undefined }

/** A job changes its state while one looks; somebody who looks as often as this sees it where it stays. */
const looks = 5

/** Reasons are read by people. */
const longestReason = 500

/**
 * Runs a job again: a dead one with all of its attempts, a delayed one at once. What waits or runs already is left alone.
 * Throws `unknown-job`, and `wrong-state` for one that is done unless it is wanted `again`.
 */
export async function retryJob(
  queue: BullQueue,
  id: string,
  { actor, again = false }: { actor: Actor; again?: boolean },
): Promise<Acted> {
  await mustSee(queue, id, actor)
  const acted = (was: string, state: string): Acted => ({ id, queue: queue.name, state, was })
  for (let look = 0; look < looks; look += 1) {
    const was = await queue.getJobState(id)
    if (was === 'unknown') throw unknownJob(queue, id)
    if (was === 'completed' && !again)
      throw new MillraceError('wrong-state', `${id} is completed; ask with again=true to run it once more`)
    if (was === 'failed' || was === 'completed') {
      if ((await queue.redis.eval(retryScript, 1, queue.toKey(id), queue.toKey(''), id, was)) === 1)
        return acted(was, 'waiting')
    } else if (was === 'delayed') {
      if (await promote(queue, id)) return acted(was, 'waiting')
    } else return acted(was, was)
  }
  throw new MillraceError('wrong-state', `${id} keeps changing its state; look at it and ask again`)
}

/** False when the job is not delayed any more. */
async function promote(queue: BullQueue, id: string): Promise<boolean> {
  try {
    await (await queue.getJob(id))?.promote()
    return true
  } catch (error) {
    if (/is not in the delayed state|Missing key for job/.test(messageOf(error))) return false
    throw error
  }
}

/**
 * Sends a job to the dead letters with a reason that begins with `cancelled`. In hand, it is told to stop by whichever
 * process has it. Throws `unknown-job`, and `wrong-state` for one that is done.
 */
export async function cancelJob(
  queue: BullQueue,
  id: string,
  { actor, reason, prefix }: { actor: Actor; reason?: string | undefined; prefix: string },
): Promise<Acted> {
  await mustSee(queue, id, actor)
  const said = reason === undefined ? `by ${actor.name}` : `${reason.slice(0, longestReason)} (by ${actor.name})`
  const now = Date.now()
  const mark = `${cancelledMark}${said}`
  const why: Why = { code: 'cancelled', at: now, reason: mark }
  const was = String(
    await queue.redis.eval(
      cancelScript,
      1,
      queue.toKey(id),
      queue.toKey(''),
      id,
      mark,
      now,
      keys.cancel(prefix),
      `${queue.name} ${id}`,
      JSON.stringify(why),
    ),
  )
  if (was === 'unknown') throw unknownJob(queue, id)
  if (was === 'completed') throw new MillraceError('wrong-state', `${id} is completed; there is nothing to cancel`)
  // It is buried when it is started, so that the one after it comes: no reason to wait for that.
  if (was === 'followed') await promote(queue, id)
  const isLater = was === 'active' || was === 'scheduled' || was === 'followed'
  return { id, queue: queue.name, state: isLater ? 'cancelling' : 'failed', was }
}

/** Removes a job that nobody has in hand, and forgets that it was ever there: the same event may come again. */
export async function removeJob(queue: BullQueue, id: string, { actor }: { actor: Actor }): Promise<Acted> {
  await mustSee(queue, id, actor)
  const was = String(await queue.redis.eval(removeScript, 1, queue.toKey(id), queue.toKey(''), id))
  if (was === 'unknown') throw unknownJob(queue, id)
  if (was === 'active') throw new MillraceError('wrong-state', `${id} is active; cancel it first`)
  if (was === 'scheduled')
    throw new MillraceError('wrong-state', `${id} is the next run of a schedule, which would end with it; cancel it`)
  return { id, queue: queue.name, state: 'removed', was }
}

export type Paused = {
  readonly name: string
  readonly paused: boolean
  readonly pausedBy: string | null
  readonly pausedAt: string | null
  readonly waiting: number
  readonly active: number
}

/** No worker takes a job of the queue any more; those in hand are finished. What was paused before stays as it was. */
export async function pauseQueue(queue: BullQueue, by: string): Promise<Paused> {
  const meta = queue.toKey('meta')
  if (!(await queue.isPaused())) {
    // Before the pause itself: one that nobody can explain would be worse than a note of one that did not come to be.
    await queue.redis.hset(meta, 'pausedBy', by, 'pausedAt', Date.now())
    await queue.pause()
  }
  return pausedOf(queue)
}

export async function resumeQueue(queue: BullQueue): Promise<Paused> {
  await queue.resume()
  await queue.redis.hdel(queue.toKey('meta'), 'pausedBy', 'pausedAt')
  return pausedOf(queue)
}

async function pausedOf(queue: BullQueue): Promise<Paused> {
  const [pause, counts] = await Promise.all([pauseOf(queue), queue.getJobCounts('waiting', 'prioritized', 'active')])
  return {
    name: queue.name,
    ...pause,
    waiting: (counts.waiting ?? 0) + (counts.prioritized ?? 0),
    active: counts.active ?? 0,
  }
}

/** Throws `unknown-job` when there is none, or none for this tenant. */
export async function mustSee(queue: BullQueue, id: string, { tenant }: Pick<Actor, 'tenant'>): Promise<void> {
  const options = isJobId(id) ? await queue.redis.hget(queue.toKey(id), 'opts') : null
  if (options === null || (tenant !== undefined && tenantIn(options) !== tenant)) throw unknownJob(queue, id)
}

/** Whose job it is, from its stored options. */
export function tenantIn(options: string): string | undefined {
  try {
    return (JSON.parse(options) as { meta?: JobMeta }).meta?.tenant
  } catch {
    return undefined
  }
}
