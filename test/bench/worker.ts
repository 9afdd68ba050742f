import { randomUUID } from 'node:crypto'
import type { Queue } from 'bullmq'
import { BullQueue } from '../../src/jobs/bull.ts'
import { prepareScripts } from '../../src/jobs/bull-scripts.ts'
import { encode } from '../../src/jobs/codec.ts'
import { writeSettings } from '../../src/jobs/gate/settings.ts'
import type { TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'
import { countCpu } from './cpu.ts'
import { dedupeMs, eventId, jobOptions, mention, queueName } from './events.ts'
import { type OwnQueue, ownQueues } from './own-queues.ts'
import type { Comparison } from './report.ts'
import { alternate, empty, type Figures, type Outcome, type Side } from './rounds.ts'
import type { Helper, Stage } from './stage.ts'

const perCall = 500
/** Longer than the slowest machine needs; a worker that has stopped must not keep us for ever. */
const patienceMs = 300_000

type Jobs = {
  readonly queue: Queue
  readonly prefix: string
  /** What Millrace knows of each job; undefined for a plain one. */
  readonly metaOf: ((id: string, serial: number) => object) | undefined
}
const oneTenant = (id: string) => ({ source: 'slack', event: id, tenant: 'T061EG9R6' })
/** Many, of whom each has a few waiting. */
const tenants = 100
const manyTenants = (id: string, serial: number) => ({ source: 'slack', event: id, tenant: `T${serial % tenants}` })

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

  const side = (name: string, worker: Helper, store: TestRedis, prefix: string, metaOf: Jobs['metaOf']) =>
    emptying(stage, { name, worker, store, prefix, metaOf, events })
  const plain = side('bare BullMQ Worker', bare.helper, plainStore, 'bull', undefined)
  const ours = side('Millrace', own.helper, ourStore, 'millrace', oneTenant)
  return {
    name: 'worker',
    title: `Worker: ${events} jobs of 1 KB that do nothing, concurrency ${concurrency}, one process`,
    sides: [plain.name, ours.name],
    setting: { events, concurrency, jobOptions },
    metrics: [
      { key: 'perSecond', label: 'jobs/s', digits: 0, aim: { atLeast: 0.95 } },
      { key: 'processCpu', label: 'worker CPU, µs/job', digits: 0 },
      { key: 'storeCpu', label: 'redis-server CPU, µs/job', digits: 0 },
    ],
    rounds: await alternate({ plain, ours }, rounds, onRun),
  }
}

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
    metrics: [
      { key: 'perSecond', label: 'jobs/s', digits: 0, aim: { atLeast: 0.85 } },
      { key: 'processCpu', label: 'worker CPU, µs/job', digits: 0 },
      { key: 'storeCpu', label: 'redis-server CPU, µs/job', digits: 0 },
    ],
    rounds: await alternate({ plain, ours }, rounds, onRun),
  }
}

/** A full queue that the worker empties. Filled with our scripts: they know the lanes; without a gate they are BullMQ's. */
function emptying(
  stage: Stage,
  {
    name,
    worker,
    store,
    prefix,
    metaOf,
    events,
    queue: kind = 'plain',
  }: {
    name: string
    worker: Helper
    store: TestRedis
    prefix: string
    metaOf: Jobs['metaOf']
    events: number
    queue?: OwnQueue
  },
): Side {
  prepareScripts()
  const queue = new BullQueue(queueName, store.client.duplicate(), { prefix })
  stage.atEnd(async () => {
    await queue.close()
    queue.redis.disconnect()
  })
  return {
    name,
    run: async () => {
      await empty(store.client)
      if (metaOf) await writeSettings(queue, ownQueues[kind])
      return measure(worker, store, { queue, prefix, metaOf }, events)
    },
  }
}

async function measure(worker: Helper, store: TestRedis, jobs: Jobs, events: number): Promise<Figures> {
  const { client } = store
  const key = (name: string) => `${jobs.prefix}:${queueName}:${name}`
  // The worker is up and waits, so that neither its start nor the filling is part of what is measured.
  await jobs.queue.pause()
  await fill(jobs, events)
  await worker.ask('reset')

  const cpu = countCpu({ process: worker.pid, store: store.pid(), helpers: [] })
  const began = performance.now()
  await jobs.queue.resume()
  const isEmpty = async () =>
    (await client.llen(key('wait'))) + (await client.zcard(key('prioritized'))) + (await client.llen(key('active'))) ===
    0
  await until(isEmpty, 'the queue is empty', patienceMs)
  const seconds = (performance.now() - began) / 1_000
  const times = cpu(events)

  const handled = await worker.ask('count')
  const failed = (await client.zcard(key('failed'))) + (await client.zcard(key('delayed')))
  if (handled !== events || failed > 0)
    throw new Error(`of ${events} jobs ${handled} were handled and ${failed} failed`)
  return { events, perSecond: events / seconds, ...times }
}

/** Jobs as the edge stores them; ours are compressed, and carry what Millrace knows of them as well. */
async function fill({ queue, metaOf }: Jobs, events: number): Promise<void> {
  for (let first = 0; first < events; first += perCall) {
    const jobs = Array.from({ length: Math.min(perCall, events - first) }, (_, i) => {
      const id = eventId(first + i)
      const own = metaOf ? { meta: metaOf(id, first + i) } : {}
      const deduplication = { id: `slack-${id}`, ttl: dedupeMs }
      const opts = { ...jobOptions, ...own, jobId: randomUUID(), deduplication }
      return { name: 'app_mention', data: JSON.parse(metaOf ? encode(mention(id)) : mention(id)) as object, opts }
    })
    await queue.addBulk(jobs)
  }
}
