import { randomUUID } from 'node:crypto'
import type { SchedulePolicy } from '../define/queue/schedule.ts'
import type { AnyQueue } from '../define/queue.ts'
import { messageOf } from '../errors.ts'
import type { Logger } from '../observe/log.ts'
import { release } from '../redis/lock.ts'
import type { BullQueue } from './bull.ts'
import { TermsWriter } from './gate/terms.ts'
import { type Rounds, startRounds } from './rounds.ts'
import { schedulerId } from './schedule-id.ts'
import { storedSchedule, storedSchedules, templateOf } from './schedules.ts'

/*
 * Brings BullMQ's schedulers to what the queue files say. The runs themselves need nobody here: the worker that takes one
 * plans the next. What BullMQ's own upsert would get wrong is set right: it throws a run away that is due and not yet taken (see
 * bull-scripts.ts), so that each boot could lose one, and an `every` would run at once at each change.
 */

/** Later than this a run was missed; until then somebody may just be taking it. */
const promptMs = 1_000
/** The first slot of an `every` is not one that begins before BullMQ has been told of it. */
const marginMs = 100
/** A run can come due while the next one is computed, which is then the same; the second time it is not. */
const planTries = 3
/** How often runs that went missing are looked for, and a store that refused writes at the start is asked again. */
const everyMs = 30_000
/** One process at a time changes a queue's schedules. Longer than it takes; a process that dies with it is not missed. */
const turnMs = 10_000
const turnPollMs = 25

export type SchedulerOptions = {
  readonly queues: readonly AnyQueue[]
  readonly bull: ReadonlyMap<string, BullQueue>
  readonly log: Logger
  /** A process that only works leaves schedules as they are, but for missed runs that are to be skipped. */
  readonly mayChange: boolean
}

/** Starts before the workers: what they would take at once may be a run that is to be skipped. */
export class Scheduler {
  readonly name = 'scheduler'
  readonly #options: SchedulerOptions
  #rounds: Rounds | undefined
  #isSettled = false

  constructor(options: SchedulerOptions) {
    this.#options = options
  }

  /** A store that is full must be worked off: no start waits for what is written here. */
  async start(): Promise<void> {
    const look = () =>
      (this.#isSettled ? this.mend() : this.reconcile()).catch((error) =>
        this.#options.log.warn({ err: error }, 'could not look after the schedules; trying again'),
      )
    await look()
    if (!this.#options.mayChange) return
    this.#rounds = startRounds(everyMs, look)
  }

  /** Brings the store to what the queue files say. */
  async reconcile(): Promise<void> {
    await this.#each((queue, bull) => this.#reconcile(queue, bull))
    this.#isSettled = true
  }

  async stop(): Promise<void> {
    await this.#rounds?.stop()
  }

  /**
   * Plans a run where none is planned although the schedule is ours and unchanged: somebody removed the job, or the store
   * lost it. Changes nothing else: a process that is older than another's definitions would undo them.
   */
  async mend(): Promise<void> {
    await this.#each(async (queue, bull) => {
      if (queue.schedules.length === 0) return
      await this.#inTurn(bull, async () => {
        for (const schedule of queue.schedules) {
          const { plan, next } = await storedSchedule(bull, schedule.id)
          if (plan !== templateOf(queue, schedule).plan || (await isPlanned(bull, schedule.id, next))) continue
          this.#options.log.warn({ queue: queue.name, schedule: schedule.id }, 'its next run had gone; planned again')
          await this.#plan(queue, bull, schedule)
        }
      })
    })
  }

  async #each(work: (queue: AnyQueue, bull: BullQueue) => Promise<void>): Promise<void> {
    for (const queue of this.#options.queues) {
      const bull = this.#options.bull.get(queue.name)
      if (bull) await work(queue, bull)
    }
  }

  async #reconcile(queue: AnyQueue, bull: BullQueue): Promise<void> {
    const { mayChange, log } = this.#options
    const gone = async () => {
      const ids = (await storedSchedules(bull)).map(({ id }) => id)
      return ids.filter((id) => !queue.schedules.some((schedule) => schedule.id === id))
    }
    // Most queues have none, and need nobody's turn for it.
    if (queue.schedules.length === 0 && (!mayChange || (await gone()).length === 0)) return
    await this.#inTurn(bull, async () => {
      for (const schedule of queue.schedules) await this.#bring(queue, bull, schedule)
      if (!mayChange) return
      for (const id of await gone()) {
        await bull.removeJobScheduler(schedulerId(id))
        log.info({ queue: queue.name, schedule: id }, 'schedule removed')
      }
    })
  }

  async #bring(queue: AnyQueue, bull: BullQueue, schedule: SchedulePolicy): Promise<void> {
    const { mayChange, log } = this.#options
    const { plan, next } = await storedSchedule(bull, schedule.id)
    const isSame = plan === templateOf(queue, schedule).plan
    // Another's definition is not ours to plan by.
    if (!mayChange && !isSame) return
    const isSkipped = schedule.missed === 'skip' && (await this.#skip(bull, schedule.id, next))
    if (isSame && !isSkipped && (await isPlanned(bull, schedule.id, next))) return
    await this.#plan(queue, bull, schedule)
    const what = isSkipped ? 'a missed run skipped' : plan === undefined ? 'schedule added' : 'schedule changed'
    if (isSkipped || !isSame) log.info({ queue: queue.name, schedule: schedule.id }, what)
  }

  /** Forgets a run that nobody took when it was due. With a worker at work it is not missed but waits for a free hand. */
  async #skip(bull: BullQueue, id: string, next: number | undefined): Promise<boolean> {
    if (next === undefined || next > Date.now() - promptMs) return false
    // A store that does not tell its clients' names (a managed one may not) has everybody at a start look alone.
    const workers = await bull.getWorkersCount().catch(() => 0)
    if (workers > 0) return false
    const [repeat, delayed, run] = [bull.toKey('repeat'), bull.toKey('delayed'), runOf(id, next)]
    return (await bull.redis.eval(skipScript, 3, repeat, delayed, bull.toKey(run), schedulerId(id), run, next)) === 1
  }

  async #plan(queue: AnyQueue, bull: BullQueue, schedule: SchedulePolicy): Promise<void> {
    const { id, cron, everyMs, tz } = schedule
    const { data, opts } = templateOf(queue, schedule)
    await new TermsWriter(bull.redis, bull.opts.prefix ?? '').ensure(queue, opts.meta.tenant ?? '')
    for (let tries = 1; ; tries++)
      try {
        const startDate = everyMs === undefined ? 0 : nextSlot(everyMs, Date.now())
        const repeat = everyMs === undefined ? { pattern: cron ?? '', tz } : { every: everyMs, startDate }
        return void (await bull.upsertJobScheduler(schedulerId(id), repeat, { name: queue.name, data, opts }))
      } catch (error) {
        if (tries === planTries || !/already exists/.test(messageOf(error))) throw error
      }
  }

  async #inTurn(bull: BullQueue, work: () => Promise<void>): Promise<void> {
    const key = bull.toKey('schedule-turn')
    const mine = randomUUID()
    while ((await bull.redis.set(key, mine, 'PX', turnMs, 'NX')) === null)
      await new Promise((resolve) => setTimeout(resolve, turnPollMs))
    try {
      await work()
    } finally {
      await release(bull.redis, key, mine)
    }
  }
}

/** The id that BullMQ gives a run. */
const runOf = (id: string, at: number) => `repeat:${schedulerId(id)}:${at}`

/** Whether the job is there that will run next. */
async function isPlanned(bull: BullQueue, id: string, next: number | undefined): Promise<boolean> {
  if (next === undefined) return false
  const [name, finishedOn] = await bull.redis.hmget(bull.toKey(runOf(id, next)), 'name', 'finishedOn')
  return name !== null && finishedOn === null
}

/** Slots are counted from the epoch, so that a restart moves none of them. Not the one that is about to begin. */
export function nextSlot(everyMs: number, now: number): number {
  return Math.ceil((now + marginMs) / everyMs) * everyMs
}

/** KEYS: schedulers, delayed jobs, the run's job. ARGV: scheduler, run, when it was due. A run that was taken meanwhile stays. */
const skipScript = `
if redis.call('ZSCORE', KEYS[1], ARGV[1]) ~= ARGV[3] or redis.call('ZREM', KEYS[2], ARGV[2]) == 0 then return 0 end
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[3])
return 1`
