import { type Job as BullJob, Queue as BullQueue, Worker as BullWorker, type JobsOptions } from 'bullmq'
import type { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineQueue } from '../../src/define/queue.ts'
import { addArguments, addKeys, addScript, callArguments, optionsWriter } from '../../src/jobs/add-script.ts'
import { bullJobOptions } from '../../src/jobs/bull.ts'
import { keysOf, startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/*
 * The batch script is BullMQ's own text, called in another way. So whatever Queue.add leaves in the store, the script must
 * leave there too, key by key and field by field; with another version of BullMQ this is the test that tells.
 */

const name = 'orders'
const queue = defineQueue({
  name,
  payload: z.unknown(),
  retry: { base: '2s', jitter: 0.3 },
  keep: { dead: { age: '3d' } },
})

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.close()
})

/** BullMQ's queue under a prefix of its own. */
async function bullQueue(client: Redis = redis.client): Promise<{ bull: BullQueue; prefix: string }> {
  const prefix = freshId('p')
  const bull = new BullQueue(name, { connection: client, prefix })
  open.push(bull)
  await bull.waitUntilReady()
  return { bull, prefix }
}

type Added = {
  id: string
  name?: string
  data?: unknown
  dedupe?: { id: string; ttl: number }
  meta?: object
  at?: number
}

/** As the producer calls it. */
function addOurs(prefix: string, jobs: readonly Added[], client: Redis = redis.client): Promise<unknown> {
  const keys = addKeys(prefix, name)
  const writeOptions = optionsWriter(bullJobOptions(queue))
  const args = jobs.map(({ id, name: title = name, data = {}, dedupe, meta = {}, at = Date.now() }) =>
    addArguments({
      id,
      name: title,
      timestamp: at,
      json: JSON.stringify(data),
      options: writeOptions({ ...(dedupe ? { de: dedupe } : {}), meta }),
      dedupe,
    }),
  )
  return client.eval(addScript, keys.length, ...keys, ...callArguments(`${prefix}:${name}:`, '', args))
}

async function addTheirs(bull: BullQueue, { id, name: title = name, data = {}, dedupe, meta = {}, at }: Added) {
  const options = {
    ...bullJobOptions(queue),
    jobId: id,
    timestamp: at,
    meta,
    ...(dedupe ? { deduplication: dedupe } : {}),
  }
  const job = await bull.add(title, data, options as JobsOptions)
  return job.id
}

/** Everything under a prefix, without the prefix, and without what must differ: times of life and stream ids. */
async function contents(prefix: string, client: Redis = redis.client): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {}
  for (const key of (await keysOf(client, `${prefix}:*`)).sort()) {
    const type = await client.type(key)
    const ttl = await client.pttl(key)
    const value = await read(client, key, type)
    found[key.slice(prefix.length)] = { type, value, expiresInMinutes: ttl < 0 ? ttl : Math.round(ttl / 60_000) }
  }
  return found
}

async function read(client: Redis, key: string, type: string): Promise<unknown> {
  if (type === 'string') return client.get(key)
  if (type === 'list') return client.lrange(key, 0, -1)
  if (type === 'zset') return client.zrange(key, '0', '-1', 'WITHSCORES')
  if (type === 'set') return client.smembers(key)
  if (type === 'stream') return (await client.xrange(key, '-', '+')).map(([, fields]) => fields)
  if (type !== 'hash') throw new Error(`${key} is a ${type}`)
  const { opts, ...fields } = await client.hgetall(key)
  if (opts === undefined) return fields
  // BullMQ repeats a given id and a given time among the options, where nothing reads them.
  const { jobId: _id, timestamp: _at, ...options } = JSON.parse(opts)
  return { ...fields, opts: options }
}

async function both(jobs: readonly Added[]): Promise<{ ours: unknown; theirs: unknown; ids: [unknown, unknown] }> {
  const [a, b] = [await bullQueue(), await bullQueue()]
  const ourIds = await addOurs(a.prefix, jobs)
  const theirIds: unknown[] = []
  for (const job of jobs) theirIds.push(await addTheirs(b.bull, job))
  return { ours: await contents(a.prefix), theirs: await contents(b.prefix), ids: [ourIds, theirIds] }
}

const at = 1_700_000_000_123

describe('the add script stores what Queue.add stores', () => {
  it.each<[string, Added[]]>([
    ['a job', [{ id: 'j1', at, data: { n: 1 } }]],
    ['several, in their order', ['j1', 'j2', 'j3'].map((id, n) => ({ id, at: at + n, data: { n } }))],
    [
      'a name, and what Millrace knows of it',
      [{ id: 'j1', at, name: 'message.im', meta: { source: 's', event: 'E', tenant: 'T' } }],
    ],
    ['a deduplicated job', [{ id: 'j1', at, dedupe: { id: 's-Ev1', ttl: 90_000_000 } }]],
    [
      'duplicates, told apart in one call',
      ['j1', 'j2', 'j3'].map((id) => ({ id, at, dedupe: { id: id === 'j3' ? 'b' : 'a', ttl: 60_000 } })),
    ],
    [
      'a job whose id is there already',
      [
        { id: 'j1', at, data: 1 },
        { id: 'j1', at, data: 2 },
      ],
    ],
    ...[null, 'text', 0, [], {}, { deep: { '': [null, 1.5, 'Ωx😀\u0000\u2028"\\'] } }, 'x'.repeat(70_000)].map(
      (data): [string, Added[]] => [`data ${JSON.stringify(data).slice(0, 50)}`, [{ id: 'j1', at, data }]],
    ),
  ])('%s', async (_what, jobs) => {
    const { ours, theirs, ids } = await both(jobs)
    expect(ours).toEqual(theirs)
    expect(ids[0]).toEqual(ids[1])
    // Guards against two empty stores being equal.
    expect(ours).toMatchObject({ [`:${name}:j1`]: { type: 'hash' }, [`:${name}:wait`]: { type: 'list' } })
  })

  it('in a paused queue, where it wakes nobody', async () => {
    const [a, b] = [await bullQueue(), await bullQueue()]
    for (const { bull } of [a, b]) await bull.pause()
    await addOurs(a.prefix, [{ id: 'j1', at }])
    await addTheirs(b.bull, { id: 'j1', at })
    expect(await contents(a.prefix)).toEqual(await contents(b.prefix))
    expect([await a.bull.isPaused(), await a.bull.getWaitingCount()]).toEqual([true, 1])
    expect(await redis.client.exists(`${a.prefix}:${name}:marker`)).toBe(0)
  })
})

describe('the add script', () => {
  it('takes 200 jobs in one call, and gives their ids in order', async () => {
    const { bull, prefix } = await bullQueue()
    const ids = Array.from({ length: 200 }, (_, n) => `j${n}`)
    expect(
      await addOurs(
        prefix,
        ids.map((id) => ({ id, data: { id } })),
      ),
    ).toEqual(ids)
    expect(await bull.getWaitingCount()).toBe(200)
    expect((await bull.getJob('j199'))?.data).toEqual({ id: 'j199' })
  })

  it('gives the id of the first job for each duplicate, until the time is over', async () => {
    const { prefix } = await bullQueue()
    const dedupe = { id: 'Ev1', ttl: 60_000 }
    expect(await addOurs(prefix, [{ id: 'j1', dedupe }, { id: 'j2', dedupe }, { id: 'j3' }])).toEqual([
      'j1',
      'j1',
      'j3',
    ])
    expect(await addOurs(prefix, [{ id: 'j4', dedupe }])).toEqual(['j1'])
    await redis.client.pexpire(`${prefix}:${name}:de:Ev1`, 0)
    expect(await addOurs(prefix, [{ id: 'j5', dedupe }])).toEqual(['j5'])
  })

  it('recognises duplicates of jobs that have gone: the window outlives the job', async () => {
    const { bull, prefix } = await bullQueue()
    const dedupe = { id: 'Ev1', ttl: 60_000 }
    await addOurs(prefix, [{ id: 'j1', dedupe }])
    await redis.client.del(`${prefix}:${name}:j1`)
    expect(await addOurs(prefix, [{ id: 'j2', dedupe }])).toEqual(['j1'])
    expect(await bull.getJob('j2')).toBeUndefined()
  })

  it('makes jobs that a plain BullMQ worker runs, with options that it understands', async () => {
    const { prefix } = await bullQueue()
    const seen: unknown[] = []
    const connection = redis.client.duplicate({ maxRetriesPerRequest: null })
    open.push({ close: async () => void (await connection.quit()) })
    const handle = async (job: BullJob) => void seen.push([job.id, job.data, job.opts.attempts])
    const worker = new BullWorker(name, handle, { connection, prefix })
    open.push(worker)
    await worker.waitUntilReady()
    await addOurs(
      prefix,
      ['j1', 'j2', 'j3'].map((id, n) => ({ id, data: { n } })),
    )
    await until(() => seen.length === 3, 'three jobs have run')
    expect(seen).toEqual([
      ['j1', { n: 0 }, 5],
      ['j2', { n: 1 }, 5],
      ['j3', { n: 2 }, 5],
    ])
  })

  it('makes jobs that BullMQ lists with the policy of their queue', async () => {
    const { bull, prefix } = await bullQueue()
    await addOurs(prefix, [{ id: 'j1', at, meta: { tenant: 'T' } }])
    expect(await bull.getJob('j1')).toMatchObject({
      timestamp: at,
      opts: {
        attempts: 5,
        backoff: { type: 'exponential', delay: 2_000, jitter: 0.3 },
        meta: { tenant: 'T' },
      },
    })
  })
})

describe('the add script in a full store', () => {
  let full: TestRedis
  beforeAll(async () => {
    full = await startRedis({ maxmemory: '0' })
  })
  afterAll(() => full.stop())

  it('rejects the whole call with OOM and stores nothing, then takes it when there is room', async () => {
    const { prefix } = await bullQueue(full.client)
    const jobs = Array.from({ length: 50 }, (_, n) => ({
      id: `j${n}`,
      data: { n },
      dedupe: { id: `Ev${n}`, ttl: 60_000 },
    }))
    const before = await contents(prefix, full.client)
    await full.client.config('SET', 'maxmemory', '1')
    await expect(addOurs(prefix, jobs, full.client)).rejects.toThrow(/\bOOM\b/)
    expect(await contents(prefix, full.client)).toEqual(before)
    await full.client.config('SET', 'maxmemory', '0')
    expect(await addOurs(prefix, jobs, full.client)).toEqual(jobs.map(({ id }) => id))
  })
})
