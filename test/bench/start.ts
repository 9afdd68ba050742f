import { Queue } from 'bullmq'
import quarantine from '../../queues/quarantine.ts'
import { startApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { createLogger } from '../../src/observe/log.ts'
import { until } from '../harness/until.ts'
import { eventId, jobOptions, mention, queueName } from './events.ts'
import { ownQueues } from './own-queues.ts'
import { paced } from './paced.ts'
import type { Comparison } from './report.ts'
import { alternate, empty, type Outcome, type Side } from './rounds.ts'
import type { Stage } from './stage.ts'

/** From the moment in which a job is enqueued to that in which its handler is called, at a rate that leaves the workers half idle. */
export async function compareStart(
  stage: Stage,
  { rounds, seconds, concurrency, rate }: { rounds: number; seconds: number; concurrency: number; rate: number },
  onRun: (side: string, round: number, outcome: Outcome) => void,
): Promise<Comparison> {
  const side = (
    name: string,
    worker: Asked,
    enqueue: (payload: object) => Promise<unknown>,
    clear: () => Promise<void>,
  ): Side => ({
    name,
    run: async () => {
      await clear()
      await worker.ask('reset')
      const sent = await send(rate, seconds, enqueue)
      await until(async () => Number(await worker.ask('count')) >= sent, 'all have started')
      return { events: sent, ...((await worker.ask('waits')) as { p50: number; p99: number }) }
    },
  })

  const plainStore = await stage.redis()
  const { helper: bare } = await stage.helper('bare-worker', { path: plainStore.path, concurrency }, true)
  const queue = new Queue(queueName, { connection: { path: plainStore.path } })
  stage.atEnd(() => queue.close())

  const ourStore = await stage.redis()
  const env = { REDIS_URL: ourStore.url, DATA_DIR: stage.folder() }
  const { helper: own } = await stage.helper('own-worker', { concurrency, env }, true)
  const config = loadConfig({ ...env, ROLES: 'scheduler', LOG_LEVEL: 'silent' })
  const app = await startApp({
    config,
    definitions: { queues: [ownQueues.plain, quarantine], workers: [], ignored: [] },
    log: createLogger(config),
  })
  stage.atEnd(() => app.stop(Date.now() + 5_000))

  const plain = side(
    'BullMQ',
    bare,
    (payload) => queue.add('app_mention', payload, jobOptions),
    () => empty(plainStore.client),
  )
  const ours = side(
    'Millrace',
    own,
    (payload) => app.enqueue(ownQueues.plain, payload as never),
    () => empty(ourStore.client),
  )
  return {
    name: 'start',
    title: `Start: from enqueue to handler, ${rate} jobs of 1 KB a second`,
    sides: [plain.name, ours.name],
    setting: { rate, seconds, concurrency },
    metrics: [
      { key: 'p50', label: 'p50, ms', digits: 2 },
      { key: 'p99', label: 'p99, ms', digits: 2 },
    ],
    rounds: await alternate({ plain, ours }, rounds, onRun),
  }
}

type Asked = { ask(message: unknown): Promise<unknown> }

/** Resolves with how many were sent, when all are stored. */
async function send(rate: number, seconds: number, enqueue: (payload: object) => Promise<unknown>): Promise<number> {
  const stored = await paced(rate, seconds, (n) => enqueue({ ...JSON.parse(mention(eventId(n))), sentAt: now() }))
  return stored.length
}

/** Milliseconds of the clock that all processes share. */
function now(): number {
  return performance.timeOrigin + performance.now()
}
