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
import type { Metric } from './report.ts'
import { empty, type Figures, type Side } from './rounds.ts'
import type { Helper, Stage } from './stage.ts'

const perCall = 500
/** Longer than the slowest machine needs; a worker that has stopped must not keep us for ever. */
const patienceMs = 600_000

type Jobs = {
  readonly queue: Queue
  readonly prefix: string
  /** What Millrace knows of each job; undefined for a plain one. */
  readonly metaOf: MetaOf | undefined
  /** No two jobs are the same to the store. */
  readonly serial: { next: number }
}
export type MetaOf = (id: string, serial: number) => object

export const oneTenant: MetaOf = (id) => ({ source: 'slack', event: id, tenant: 'T061EG9R6' })
/** Many, of whom each has a few waiting. */
export const tenants = 100
export const manyTenants: MetaOf = (id, serial) => ({ source: 'slack', event: id, tenant: `T${serial % tenants}` })

export const workerMetrics: readonly Metric[] = [
  { key: 'processCpu', label: 'worker CPU, µs/job', digits: 0 },
  { key: 'storeCpu', label: 'redis-server CPU, µs/job', digits: 0 },
  { key: 'calls', label: 'calls to redis-server/job', digits: 2 },
  { key: 'commands', label: 'Redis commands/job, those in scripts included', digits: 1 },
]

/** A full queue that the worker empties. Filled with our scripts: they know the lanes; without a gate they are BullMQ's. */
export function emptying(
  stage: Stage,
  {
    name,
    worker,
    store,
    prefix,
    metaOf,
    events,
    queue: kind = 'plain',
    backlog = 0,
  }: {
    name: string
    worker: Helper
    store: TestRedis
    prefix: string
    metaOf: Jobs['metaOf']
    events: number
    queue?: OwnQueue
    /** Jobs that go on waiting behind those that are measured. They are stored once. */
    backlog?: number
  },
): Side {
  prepareScripts()
  let hasBacklog = false
  const serial = { next: 0 }
  const queue = new BullQueue(queueName, store.client.duplicate(), { prefix })
  stage.atEnd(async () => {
    await queue.close()
    queue.redis.disconnect()
  })
  return {
    name,
    run: async () => {
      const jobs = { queue, prefix, metaOf, serial }
      if (backlog === 0 || !hasBacklog) {
        await empty(store.client)
        if (metaOf) await writeSettings(queue, ownQueues[kind])
        await queue.pause()
        if (backlog > 0) await fill(jobs, backlog)
        hasBacklog = true
      }
      return measure(worker, store, jobs, { events, backlog })
    },
  }
}

async function measure(
  worker: Helper,
  store: TestRedis,
  jobs: Jobs,
  { events, backlog }: { events: number; backlog: number },
): Promise<Figures> {
  const { client } = store
  const key = (name: string) => `${jobs.prefix}:${queueName}:${name}`
  // The worker is up and waits, so that neither its start nor the filling is part of what is measured.
  await jobs.queue.pause()
  await fill(jobs, events)
  await worker.ask('reset')
  await client.config('RESETSTAT')

  // In one moment: a job that is on its way from one to the other must not be missed.
  const left = async () => {
    const counts = await client.multi().llen(key('wait')).zcard(key('prioritized')).llen(key('active')).exec()
    return (counts ?? []).reduce((sum, [, count]) => sum + Number(count), 0)
  }
  // Of those that go on waiting the run before may have taken a few.
  const others = (await left()) - events
  const cpu = countCpu({ process: worker.pid, store: store.pid(), helpers: [] })
  const began = performance.now()
  await jobs.queue.resume()
  await until(async () => (await left()) <= others, 'the queue is as it was before', patienceMs)
  const seconds = (performance.now() - began) / 1_000
  const times = cpu(events)
  await jobs.queue.pause()
  // What it has taken of those that go on waiting ends first, or the next run would count it.
  await until(async () => (await client.llen(key('active'))) === 0, 'nothing is in hand', patienceMs)

  const handled = Number(await worker.ask('count'))
  const failed = (await client.zcard(key('failed'))) + (await client.zcard(key('delayed')))
  // With others waiting, some more may have been taken before the pause.
  if (handled < events || (backlog === 0 && handled > events) || failed > 0)
    throw new Error(`of ${events} jobs ${handled} were handled and ${failed} failed`)
  return { events, perSecond: events / seconds, ...times, ...(await commandsOf(client, handled)) }
}

/** How many commands a job came to: sent by clients, and run in all, those in scripts included. */
async function commandsOf(client: TestRedis['client'], jobs: number): Promise<Figures> {
  const stats = [...(await client.info('commandstats')).matchAll(/cmdstat_([^:]+):calls=(\d+)/g)]
  const count = (fits: (name: string) => boolean) =>
    stats.reduce((sum, [, name = '', calls]) => sum + (fits(name) ? Number(calls) : 0), 0)
  return {
    calls: count((name) => /^eval/.test(name)) / jobs,
    commands: count((name) => !/^(eval|info|config)/.test(name)) / jobs,
  }
}

/** Jobs as the edge stores them; ours are compressed, and carry what Millrace knows of them as well. */
export async function fill({ queue, metaOf, serial }: Jobs, events: number): Promise<void> {
  for (let first = 0; first < events; first += perCall) {
    const jobs = Array.from({ length: Math.min(perCall, events - first) }, () => {
      const mine = serial.next++
      const id = eventId(mine)
      const own = metaOf ? { meta: metaOf(id, mine) } : {}
      const deduplication = { id: `slack-${id}`, ttl: dedupeMs }
      const opts = { ...jobOptions, ...own, jobId: randomUUID(), deduplication }
      return { name: 'app_mention', data: JSON.parse(metaOf ? encode(mention(id)) : mention(id)) as object, opts }
    })
    await queue.addBulk(jobs)
  }
}
