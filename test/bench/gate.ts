import { jobOptions } from './events.ts'
import { emptying, manyTenants, tenants, workerMetrics } from './fill.ts'
import type { OwnQueue } from './own-queues.ts'
import type { Comparison } from './report.ts'
import { alternate, type Outcome } from './rounds.ts'
import type { Stage } from './stage.ts'

/** Turns and bounds of a hundred tenants beside the same queue without them. */
export async function compareGate(
  stage: Stage,
  { rounds, events, concurrency }: { rounds: number; events: number; concurrency: number },
  onRun: (side: string, round: number, outcome: Outcome) => void,
): Promise<Comparison> {
  const side = async (name: string, queue: OwnQueue) => {
    const store = await stage.redis()
    const env = { REDIS_URL: store.url, DATA_DIR: stage.folder() }
    const { helper: worker } = await stage.helper('own-worker', { concurrency, env, queue }, true)
    return emptying(stage, { name, worker, store, prefix: 'millrace', metaOf: manyTenants, events, queue })
  }
  const plain = await side('no tenants', 'plain')
  const ours = await side('100 tenants', 'tenants')
  return {
    name: 'gate',
    title: `Fairness: ${events} jobs of ${tenants} tenants, at most 2 of each in hand, beside a queue without`,
    sides: [plain.name, ours.name],
    setting: { events, concurrency, jobOptions },
    metrics: [{ key: 'perSecond', label: 'jobs/s', digits: 0, aim: { atLeast: 0.85 } }, ...workerMetrics],
    rounds: await alternate({ plain, ours }, rounds, onRun),
  }
}

type Settings = { rounds: number; events: number; concurrency: number; backlog: number }

/** The same queue with many jobs waiting behind those that are measured, beside one with none. */
export async function compareBacklog(
  stage: Stage,
  { rounds, events, concurrency, backlog }: Settings,
  onRun: (side: string, round: number, outcome: Outcome) => void,
): Promise<Comparison> {
  const side = async (name: string, waiting: number) => {
    const store = await stage.redis()
    const env = { REDIS_URL: store.url, DATA_DIR: stage.folder() }
    const { helper: worker } = await stage.helper('own-worker', { concurrency, env, queue: 'tenants' }, true)
    const prefix = 'millrace'
    return emptying(stage, {
      name,
      worker,
      store,
      prefix,
      metaOf: manyTenants,
      events,
      queue: 'tenants',
      backlog: waiting,
    })
  }
  const plain = await side('nothing else waits', 0)
  const ours = await side(`${backlog} wait`, backlog)
  return {
    name: 'backlog',
    title: `Backlog: ${events} jobs of ${tenants} tenants with ${backlog} more waiting, beside none`,
    sides: [plain.name, ours.name],
    setting: { events, concurrency, backlog },
    metrics: [{ key: 'perSecond', label: 'jobs/s', digits: 0, aim: { atLeast: 0.9 } }, ...workerMetrics],
    rounds: await alternate({ plain, ours }, rounds, onRun),
  }
}
