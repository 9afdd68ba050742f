import type { TestRedis } from '../harness/redis.ts'
import { jobOptions } from './events.ts'
import { emptying, type MetaOf, oneTenant, workerMetrics } from './fill.ts'
import type { Comparison } from './report.ts'
import { alternate, type Outcome } from './rounds.ts'
import type { Helper, Stage } from './stage.ts'

/** A full queue and one worker process: how fast it is emptied. */
export async function compareWorker(
  stage: Stage,
  { rounds, events, concurrency }: { rounds: number; events: number; concurrency: number },
  onRun: (side: string, round: number, outcome: Outcome) => void,
): Promise<Comparison> {
  const plainStore = await stage.redis()
  const bare = await stage.helper('bare-worker', { path: plainStore.path, concurrency }, true)
  const ourStore = await stage.redis()
  const env = { REDIS_URL: ourStore.url, DATA_DIR: stage.folder() }
  const own = await stage.helper('own-worker', { concurrency, env }, true)

  const side = (name: string, worker: Helper, store: TestRedis, prefix: string, metaOf: MetaOf | undefined) =>
    emptying(stage, { name, worker, store, prefix, metaOf, events })
  const plain = side('bare BullMQ Worker', bare.helper, plainStore, 'bull', undefined)
  const ours = side('Millrace', own.helper, ourStore, 'millrace', oneTenant)
  return {
    name: 'worker',
    title: `Worker: ${events} jobs of 1 KB that do nothing, concurrency ${concurrency}, one process`,
    sides: [plain.name, ours.name],
    setting: { events, concurrency, jobOptions },
    metrics: [{ key: 'perSecond', label: 'jobs/s', digits: 0, aim: { atLeast: 0.95 } }, ...workerMetrics],
    rounds: await alternate({ plain, ours }, rounds, onRun),
  }
}
