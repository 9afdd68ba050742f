import type { Metrics } from '../observe/metrics.ts'
import type { BullQueue } from './bull.ts'
import { jobStates, summarizeQueue } from './inspect.ts'

/** Scrapers and people may ask often; the store is asked at most once in this time. */
const freshMs = 1_000

/** Brings the gauges about queues up to date. Rejects when the store does not answer. */
export function createGauges(bull: ReadonlyMap<string, BullQueue>, metrics: Metrics): () => Promise<void> {
  let last = 0
  let running: Promise<void> | undefined
  return () => {
    if (Date.now() - last < freshMs) return running ?? Promise.resolve()
    last = Date.now()
    running = refresh()
    return running
  }

  async function refresh(): Promise<void> {
    for (const queue of await Promise.all([...bull.values()].map(summarizeQueue))) {
      for (const state of jobStates) metrics.queueJobs.set({ queue: queue.name, state }, queue.counts[state])
      metrics.queueOldestWaiting.set({ queue: queue.name }, queue.oldestWaitingSeconds)
      metrics.deadJobs.set({ queue: queue.name }, queue.counts.failed)
    }
  }
}
