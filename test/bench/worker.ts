import { randomUUID } from 'node:crypto'
import { Queue } from 'bullmq'
import { encode } from '../../src/jobs/codec.ts'
import type { TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'
import { countCpu } from './cpu.ts'
import { dedupeMs, eventId, jobOptions, mention, queueName } from './events.ts'
import type { Comparison } from './report.ts'
import { alternate, empty, type Figures, type Outcome, type Side } from './rounds.ts'
import type { Helper, Stage } from './stage.ts'

const perCall = 500
/** Longer than the slowest machine needs; a worker that has stopped must not keep us for ever. */
const patienceMs = 300_000

type Jobs = { readonly queue: Queue; readonly prefix: string; readonly meta: boolean }

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

  const side = (name: string, worker: Helper, store: TestRedis, prefix: string, meta: boolean): Side => {
    const queue = new Queue(queueName, { connection: { path: store.path }, prefix })
    stage.atEnd(() => queue.close())
    return {
      name,
      run: async () => {
        await empty(store.client)
        return measure(worker, store, { queue, prefix, meta }, events)
      },
    }
  }
  const plain = side('bare BullMQ Worker', bare.helper, plainStore, 'bull', false)
  const ours = side('Millrace', own.helper, ourStore, 'millrace', true)
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
  const isEmpty = async () => (await client.llen(key('wait'))) + (await client.llen(key('active'))) === 0
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
async function fill({ queue, meta }: Jobs, events: number): Promise<void> {
  for (let first = 0; first < events; first += perCall) {
    const jobs = Array.from({ length: Math.min(perCall, events - first) }, (_, i) => {
      const id = eventId(first + i)
      const own = meta ? { meta: { source: 'slack', event: id, tenant: 'T061EG9R6' } } : {}
      const deduplication = { id: `slack-${id}`, ttl: dedupeMs }
      const opts = { ...jobOptions, ...own, jobId: randomUUID(), deduplication }
      return { name: 'app_mention', data: JSON.parse(meta ? encode(mention(id)) : mention(id)) as object, opts }
    })
    await queue.addBulk(jobs)
  }
}
