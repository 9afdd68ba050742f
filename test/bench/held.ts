import { BullQueue } from '../../src/jobs/bull.ts'
import { prepareScripts } from '../../src/jobs/bull-scripts.ts'
import { writeSettings } from '../../src/jobs/gate/settings.ts'
import { until } from '../harness/until.ts'
import { queueName } from './events.ts'
import { fill, type MetaOf } from './fill.ts'
import { keyOf, ownQueues } from './own-queues.ts'
import type { Comparison } from './report.ts'
import { alternate, empty, type Outcome, type Side } from './rounds.ts'
import type { Stage } from './stage.ts'

const keys = 10
const prefix = 'millrace'
const patienceMs = 300_000
const ofKeys: MetaOf = (id) => ({ tenant: keyOf(id), limit: keyOf(id) })

/** What the others notice of a key that a third party has asked to pause, and how exactly the pause is kept. */
export async function compareHeld(
  stage: Stage,
  { rounds, events, concurrency }: { rounds: number; events: number; concurrency: number },
  onRun: (side: string, round: number, outcome: Outcome) => void,
): Promise<Comparison> {
  prepareScripts()
  const side = async (name: string, held: boolean): Promise<Side> => {
    const store = await stage.redis()
    const env = { REDIS_URL: store.url, DATA_DIR: stage.folder() }
    const { helper: worker } = await stage.helper('held-worker', { concurrency, env, held }, true)
    const queue = new BullQueue(queueName, store.client.duplicate(), { prefix })
    stage.atEnd(async () => {
      await queue.close()
      queue.redis.disconnect()
    })
    return {
      name,
      run: async () => {
        await empty(store.client)
        await writeSettings(queue, ownQueues.keys)
        await queue.pause()
        await fill({ queue, prefix, metaOf: ofKeys, serial: { next: 0 } }, events)
        await worker.ask('reset')
        const began = performance.now()
        await queue.resume()
        const others = events - Math.ceil(events / keys)
        await until(async () => Number(await worker.ask('count')) >= others, 'the others are done', patienceMs)
        const seconds = (performance.now() - began) / 1_000
        return { events: others, perSecond: others / seconds, late: Number(await worker.ask('late')) }
      },
    }
  }
  const plain = await side('no key pauses', false)
  const ours = await side('one of ten pauses', true)
  return {
    name: 'held',
    title: `Retry-After: ${events} jobs of ${keys} keys; one of them has to pause a second at a time`,
    sides: [plain.name, ours.name],
    setting: { events, concurrency },
    metrics: [
      { key: 'perSecond', label: 'jobs/s of the others', digits: 0, aim: { atLeast: 0.95 } },
      { key: 'late', label: 'asked again later than asked for, at most, ms', digits: 1 },
    ],
    rounds: await alternate({ plain, ours }, rounds, onRun),
  }
}
