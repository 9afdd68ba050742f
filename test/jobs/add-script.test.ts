import { type Job as BullJob, Queue as BullQueue, Worker as BullWorker, type JobsOptions } from 'bullmq'
import type { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineQueue } from '../../src/define/queue.ts'
import { addArguments, addKeys, addScript, callArguments, idsOf, optionsWriter } from '../../src/jobs/add-script.ts'
import { bullJobOptions } from '../../src/jobs/bull.ts'
import { keysOf, startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/*
 * The batch script writes out BullMQ's plain case. So whatever Queue.add leaves in the store it must leave there too, key by key
 * and field by field; with another version of BullMQ this is the test that tells.
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
async function addOurs(prefix: string, jobs: readonly Added[], client: Redis = redis.client): Promise<string[]> {
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
  const answer = await client.eval(addScript, keys.length, ...keys, ...callArguments(`${prefix}:${name}:`, '', args))
  return idsOf(args, answer)
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

async function both(
  jobs: readonly Added[],
  prepare: (prefix: string) => Promise<unknown> = async () => {},
): Promise<{ ours: unknown; theirs: unknown; ids: [unknown, unknown] }> {
  const [a, b] = [await bullQueue(), await bullQueue()]
  for (const { prefix } of [a, b]) await prepare(prefix)
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

  it('where the key is held for ever by a job that is there, and by one that has gone', async () => {
    const job: Added = { id: 'j2', at, dedupe: { id: 'a', ttl: 60_000 } }
    const held = (prefix: string) => redis.client.set(`${prefix}:${name}:de:a`, 'j1')
    const there = await both([job], async (prefix) => {
      await held(prefix)
      await redis.client.hset(`${prefix}:${name}:j1`, 'name', 'first')
    })
    expect(there.ours).toEqual(there.theirs)
    expect(there.ids).toEqual([['j1'], ['j1']])
    const gone = await both([job], held)
    expect(gone.ours).toEqual(gone.theirs)
    expect(gone.ids).toEqual([['j2'], ['j2']])
  })

  it('in a queue with bounds of its own for events and for what is in hand', async () => {
    const jobs = Array.from({ length: 150 }, (_, n) => ({ id: `j${n}`, at }))
    const { ours, theirs } = await both(jobs, async (prefix) => {
      await redis.client.hset(`${prefix}:${name}:meta`, 'opts.maxLenEvents', '20', 'concurrency', '1')
      await redis.client.lpush(`${prefix}:${name}:active`, 'busy')
    })
    // How far a stream is cut is Redis' own affair: whole blocks, when there is one to spare.
    type Contents = Record<string, { value: unknown[] }>
    const events = (all: unknown) => (all as Contents)[`:${name}:events`]?.value ?? []
    expect(events(ours).length).toBeLessThan(250)
    expect(events(ours).slice(-20)).toEqual(events(theirs).slice(-20))
    expect({ ...(ours as Contents), [`:${name}:events`]: 0 }).toEqual({
      ...(theirs as Contents),
      [`:${name}:events`]: 0,
    })
    expect(ours).not.toHaveProperty(`:${name}:marker`)
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
    const jobs = ids.map((id) => ({ id, data: { id } }))
    expect(await addOurs(prefix, jobs)).toEqual(ids)
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

  it('completes those before one that fails, and frees the key of that one', async () => {
    const { bull, prefix } = await bullQueue()
    const jobs = ['j1', 'j2', 'j3'].map((id) => ({ id, dedupe: { id: `Ev-${id}`, ttl: 60_000 } }))
    const of = (key: string) => `${prefix}:${name}:${key}`
    await redis.client.set(of('events'), 'not a stream')
    await expect(addOurs(prefix, jobs)).rejects.toThrow(/WRONGTYPE/)
    expect(await redis.client.lrange(of('wait'), 0, -1)).toEqual(['j1'])
    expect(await redis.client.exists(of('de:Ev-j2'), of('de:Ev-j3'))).toBe(0)
    await redis.client.del(of('events'))
    for (const job of jobs) await addOurs(prefix, [job])
    expect((await bull.getWaiting()).map(({ id }) => id).sort()).toEqual(['j1', 'j2', 'j3'])
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
