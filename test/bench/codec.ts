import { Queue } from 'bullmq'
import { z } from 'zod'
import { defineQueue } from '../../src/index.ts'
import { bullJobOptions, openQueues } from '../../src/jobs/bull.ts'
import { decode, encode } from '../../src/jobs/codec.ts'
import { Producer } from '../../src/jobs/producer.ts'
import { createMetrics } from '../../src/observe/metrics.ts'
import { connect } from '../../src/redis/store.ts'
import { githubPayloads } from '../harness/github.ts'
import type { TestRedis } from '../harness/redis.ts'
import { countCpu } from './cpu.ts'
import { dedupeMs } from './events.ts'
import type { Comparison } from './report.ts'
import { alternate, empty, type Figures, type Outcome, type Side } from './rounds.ts'
import type { Stage } from './stage.ts'

/** So often each payload is stored in a round: CPU time is counted in hundredths of a second. */
const passes = 10
const concurrency = 50

const queue = defineQueue({ name: 'github', payload: z.record(z.string(), z.unknown()) })
const jobOptions = bullJobOptions(queue)
const payloads = githubPayloads.map(({ name, json }) => ({ name, json, payload: JSON.parse(json) as object }))
const events = payloads.length * passes

type Item = (typeof payloads)[number]
/** One way to store: an add, and its two halves that have to do with the text. */
type Way = {
  readonly add: (item: Item, id: string) => Promise<unknown>
  readonly write: (payload: object) => string
  readonly read: (text: string) => unknown
}

/** What GitHub's own examples come to in the store, and what it costs to make them smaller. */
export async function compareCodec(
  stage: Stage,
  { rounds }: { rounds: number },
  onRun: (side: string, round: number, outcome: Outcome) => void,
): Promise<Comparison> {
  const side = async (name: string, prefix: string, wayOf: (store: TestRedis) => Way): Promise<Side> => {
    const store = await stage.redis()
    const way = wayOf(store)
    return {
      name,
      run: async () => {
        await empty(store.client)
        return measure(store, `${prefix}:${queue.name}`, way)
      },
    }
  }
  const plain = await side('BullMQ queue.add', 'bull', (store) => plainWay(stage, store))
  const ours = await side('Millrace', 'millrace', (store) => ourWay(stage, store))
  return {
    name: 'codec',
    title: `Payloads: GitHub's ${payloads.length} examples, ${passes} times each, stored by ${concurrency} at once`,
    sides: [plain.name, ours.name],
    setting: { payloads: payloads.length, passes, concurrency, jobOptions },
    metrics: [
      { key: 'memory', label: 'Redis memory, bytes/job', digits: 0, aim: { atMost: 0.35 } },
      { key: 'file', label: 'append-only file, bytes/job', digits: 0 },
      { key: 'write', label: 'payload to stored text, µs', digits: 1 },
      { key: 'read', label: 'stored text to payload, µs', digits: 1 },
      { key: 'processCpu', label: 'CPU of adding, µs/job', digits: 0 },
      { key: 'storeCpu', label: 'redis-server CPU, µs/job', digits: 0 },
    ],
    rounds: await alternate({ plain, ours }, rounds, onRun),
  }
}

function plainWay(stage: Stage, store: TestRedis): Way {
  const bull = new Queue(queue.name, { connection: { path: store.path }, prefix: 'bull' })
  stage.atEnd(() => bull.close())
  return {
    add: ({ name, payload }, id) =>
      bull.add(name, payload, { ...jobOptions, jobId: id, deduplication: { id: `github-${id}`, ttl: dedupeMs } }),
    write: (payload) => JSON.stringify(payload),
    read: (text) => JSON.parse(text),
  }
}

function ourWay(stage: Stage, store: TestRedis): Way {
  const prefix = 'millrace'
  const redis = connect({ host: '', port: 0, path: store.path, db: 0 }, 'consumer')
  const bull = openQueues([queue], redis, prefix)
  const producer = new Producer({
    redis,
    queues: [queue],
    bull,
    prefix,
    durability: 'always',
    ackDeadlineMs: 10_000,
    metrics: createMetrics(),
    shedder: { isFull: () => undefined, isOver: () => undefined },
  })
  stage.atEnd(async () => redis.disconnect())
  return {
    add: ({ name, json, payload }, id) =>
      producer.enqueueEvent(
        queue,
        { id, source: 'github', sourceType: 'github', type: name, tenant: undefined, json, payload },
        { windowMs: dedupeMs },
      ),
    write: (payload) => encode(JSON.stringify(payload)),
    read: (text) => decode(JSON.parse(text)),
  }
}

async function measure(store: TestRedis, key: string, way: Way): Promise<Figures> {
  const { client } = store
  const fileBefore = await fileBytes(store)
  const cpu = countCpu({ process: process.pid, store: store.pid(), helpers: [] })
  let next = 0
  const sender = async () => {
    while (next < events) {
      const serial = next++
      const item = payloads[serial % payloads.length]
      if (item) await way.add(item, `event-${serial}`)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, sender))
  const { processCpu, storeCpu, otherCores } = cpu(events)
  const file = ((await fileBytes(store)) - fileBefore) / events

  const ids = await client.lrange(`${key}:wait`, 0, -1)
  if (ids.length !== events) throw new Error(`${events} jobs were added, ${ids.length} are stored`)
  const sizes = await Promise.all(ids.map((id) => client.memory('USAGE', `${key}:${id}`, 'SAMPLES', 0)))
  const memory = sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0) / events

  const texts = payloads.map(({ payload }) => way.write(payload))
  return {
    events,
    memory,
    file,
    write: microseconds(() => payloads.map(({ payload }) => way.write(payload))),
    read: microseconds(() => texts.map(way.read)),
    processCpu,
    storeCpu,
    otherCores,
  }
}

/** For each payload, one after the other. */
function microseconds(all: () => unknown): number {
  const began = performance.now()
  for (let i = 0; i < passes; i++) all()
  return ((performance.now() - began) * 1_000) / events
}

async function fileBytes({ client }: TestRedis): Promise<number> {
  return Number(/aof_current_size:(\d+)/.exec(await client.info('persistence'))?.[1])
}
