import { type Duration, durationMs } from '../define/duration.ts'
import type { AnyQueue, PayloadInput } from '../define/queue.ts'
import type { Worker } from '../define/worker.ts'
import type { Sent } from './enqueue.ts'
import { type Ran, type RunOptions, runWorker } from './run.ts'
import { type FakeServices, fakeServices } from './services.ts'

/** A job from its first attempt to its end. */
export type Life<Result = unknown> = {
  /** So far. `at`: milliseconds of virtual time. */
  readonly attempts: readonly (Ran<Result> & { readonly at: number })[]
  /** `dead`: in the dead letters. */
  readonly state: 'waiting' | 'completed' | 'dead'
  /** When the next attempt is due, in milliseconds of virtual time; undefined when there is none. */
  readonly dueAt: number | undefined
  /** Of all attempts. */
  readonly enqueued: readonly Sent[]
}

/** A clock that stands still until it is told. It begins at 0. */
export type VirtualTime = {
  /** Milliseconds. */
  readonly now: number
  /** What handlers find beside their job, by this clock; the same for all jobs. */
  readonly services: FakeServices
  /** Starts a job and, unless it has a delay, its first attempt. */
  run<Q extends AnyQueue, Result>(
    worker: Worker<Q, Result>,
    payload: PayloadInput<Q>,
    options?: Omit<RunOptions, 'attempt'> & { delay?: Duration },
  ): Promise<Life<Result>>
  /** Runs what comes due in this time, each at its own moment. */
  advance(by: Duration): Promise<void>
  /** Advances until every job has come to its end. */
  finish(): Promise<void>
}

/** A job that has not come to its end after so many attempts defers itself for ever. */
const mostAttempts = 1_000

type Pending = { readonly dueAt: number; readonly attempt: () => Promise<void> }

/** Lets jobs be retried without waiting: attempts come when the queue's policy says, on this clock. */
export function virtualTime(): VirtualTime {
  let now = 0
  const pending = new Set<Pending>()
  const services = fakeServices({ now: () => now })

  async function runUntil(end: number): Promise<void> {
    for (;;) {
      const [first] = [...pending].sort((a, b) => a.dueAt - b.dueAt)
      if (!first || first.dueAt > end) return
      pending.delete(first)
      now = Math.max(now, first.dueAt)
      await first.attempt()
    }
  }

  return {
    get now() {
      return now
    },
    services,
    async run<Q extends AnyQueue, Result>(
      worker: Worker<Q, Result>,
      payload: PayloadInput<Q>,
      { delay = '0ms', ...options }: Omit<RunOptions, 'attempt'> & { delay?: Duration } = {},
    ): Promise<Life<Result>> {
      const attempts: (Ran<Result> & { readonly at: number })[] = []
      let failures = 0
      let state: Life['state'] = 'waiting'
      let dueAt: number | undefined
      const schedule = (at: number) => {
        dueAt = at
        pending.add({ dueAt: at, attempt })
      }
      const attempt = async () => {
        dueAt = undefined
        const ran = await runWorker(worker, payload, { services, ...options, attempt: failures + 1 })
        attempts.push({ ...ran, at: now })
        if (attempts.length >= mostAttempts)
          throw new Error(`'${worker.queue.name}' has come to no end in ${mostAttempts} attempts`)
        if (ran.next.do === 'complete') state = 'completed'
        else if (ran.next.do === 'bury') state = 'dead'
        else {
          if (ran.next.do === 'retry') failures += 1
          schedule(now + ran.next.inMs)
        }
      }
      schedule(now + durationMs(delay, 'delay'))
      await runUntil(now)
      return {
        attempts,
        get state() {
          return state
        },
        get dueAt() {
          return dueAt
        },
        get enqueued() {
          return attempts.flatMap((ran) => ran.enqueued)
        },
      }
    },
    async advance(by) {
      const end = now + durationMs(by, 'advance()')
      await runUntil(end)
      now = end
    },
    finish: () => runUntil(Number.POSITIVE_INFINITY),
  }
}
