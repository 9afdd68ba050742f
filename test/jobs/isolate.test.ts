import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AnyQueue } from '../../src/define/queue.ts'
import { describeJob } from '../../src/jobs/inspect.ts'
import { adminKey, startTestApp, type TestApp } from '../harness/app.ts'
import { startMillrace } from '../harness/process.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { makeTree, type Tree } from '../harness/tree.ts'
import { until } from '../harness/until.ts'

/* Workers with `isolate: true`, in real child processes: what their handlers do, and what becomes of the job. */

const queue = (name: string) => `
  import { z } from 'zod'
  import { defineQueue } from '../src/index.js'
  export default defineQueue({
    name: '${name}',
    payload: z.object({ do: z.string(), at: z.string().default('2026-01-02').transform((text) => new Date(text)) }),
    retry: { attempts: 1 },
  })`

/** By the payload, whatever a handler may come to; `beat` says in the log that it lives, and which process it is. */
const handler = `
  class CardDeclined extends Error { constructor() { super('declined'); this.code = 'card_declined'; this.card = { last: 42 } } }
  const acts = {
    what: async ({ payload, id, attempt, enqueuedAt }, { settings }) => ({
      isDate: payload.at instanceof Date && enqueuedAt instanceof Date, id, attempt, settings,
      env: Object.keys(process.env).sort(), execArgv: process.execArgv, pid: process.pid,
    }),
    fail: async () => { throw new CardDeclined() },
    text: async () => { throw 'just a text' },
    defer: async ({ enqueuedAt }) => Date.now() - enqueuedAt < 300 ? defer('50ms', 'later') : 'at last',
    drop: async () => drop('not wanted'),
    lost: async () => 10n,
    exit: async () => process.exit(3),
    kill: async () => process.kill(process.pid, 'SIGKILL'),
    babble: () => { for (const line of [null, 7, { say: 'log' }, { say: 'done', run: 1 }]) process.send(line); return new Promise(() => {}) },
    uncaught: () => new Promise(() => setTimeout(() => { throw new Error('nobody caught this') })),
    spin: async (job, { log }) => { log.info({ pid: process.pid }, 'beat'); for (;;); },
    wait: async (job, { log, signal }) => {
      log.info({ pid: process.pid }, 'beat')
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    },
    add: async (job, { enqueue }) => void enqueue(other, { do: 'add' }),
    addNow: async (job, { enqueue }) => enqueue.now(other, { do: 'addNow' }),
    addThenFail: async (job, { enqueue }) => { await enqueue(other, { do: 'addThenFail' }); throw new Error('no') },
    limited: async () => { throw new RateLimited(3600) },
    addBad: async (job, { enqueue }) => enqueue(other, { do: 5 }),
    addNone: async (job, { enqueue }) => enqueue(defineQueue({ name: 'nowhere', payload: z.any() }), {}),
    logThenWait: async (job, context) => {
      context.log.warn({ err: new CardDeclined(), token: 'hunter2', big: 1n, deep: { f() {} } }, 'said')
      await acts.wait(job, context)
    },
  }`

const worker = (name: string, options: string) => `
  import { z } from 'zod'
  import { defer, defineQueue, defineWorker, drop, RateLimited } from '../src/index.js'
  import queue from '../queues/${name}.js'
  import other from '../queues/other.js'
  ${handler}
  export default defineWorker(queue, (job, context) => acts[job.payload.do](job, context),
    { isolate: true, settings: z.object({ GREETING: z.string(), LANGUAGE: z.string().default('en') }), ${options} })`

let redis: TestRedis
let tree: Tree
let app: TestApp
// 'lone' is worked on by processes of the tests' own.
const env = {
  WORKERS: 'work,short',
  GREETING: 'hello',
  SECRET_OF_OURS: 'x',
  PATH: process.env.PATH ?? '',
  TZ: 'UTC',
  HOME: '/nowhere',
}
const queues: Record<string, AnyQueue> = {}

beforeAll(async () => {
  redis = await startRedis()
  tree = makeTree({
    queues: { work: queue('work'), short: queue('short'), lone: queue('lone'), other: queue('other') },
    workers: {
      work: worker('work', `timeout: '1m', concurrency: 2`),
      short: worker('short', `timeout: '1500ms'`),
      lone: worker('lone', `timeout: '1m'`),
    },
  })
  const definitions = await tree.definitions()
  for (const one of definitions.queues) queues[one.name] = one
  app = await startTestApp(redis.url, { definitions, env, isolateEntry: tree.isolateEntry })
})
afterAll(async () => {
  await app.close()
  await redis.stop()
  tree.remove()
})

async function run(act: string, name = 'work') {
  const { id } = await app.enqueue(queues[name] as AnyQueue, { do: act })
  const bull = app.bull.get(name)
  if (!bull) throw new Error('no queue')
  return until(async () => {
    const job = await describeJob(bull, id)
    return ['completed', 'failed'].includes(job.state) ? job : undefined
  }, `job is over`)
}

describe('the handler', () => {
  it('gets payload, settings and an environment with nothing of ours', async () => {
    const { result } = await run('what')
    expect(result).toMatchObject({ isDate: true, attempt: 1, execArgv: [] })
    expect(result).toMatchObject({ settings: { GREETING: 'hello', LANGUAGE: 'en' } })
    const { env } = result as { env: string[] }
    // Node's own for its channel: a number and a word.
    expect(env.filter((name) => !name.startsWith('NODE_CHANNEL_'))).toEqual(['GREETING', 'PATH', 'TZ'])
  })

  it('comes to what it would in our process', async () => {
    expect(await run('defer')).toMatchObject({ state: 'completed', result: 'at last', attemptsMade: 1 })
    expect(await run('drop')).toMatchObject({ state: 'failed', reason: 'not wanted' })
    expect(await run('lost')).toMatchObject({ state: 'completed' })
    const { id } = await app.enqueue(queues.work as AnyQueue, { do: 'limited' })
    await until(() => redis.client.zscore(`${app.prefix}:work:delayed`, id), 'it is put off')
    expect(await run('text')).toMatchObject({ state: 'failed', reason: 'thrown: just a text' })
    const { reason, errors } = await run('fail')
    expect(reason).toBe('declined')
    expect(errors.join()).toMatch(/declined.*workers.work\.js:\d+/s)
  })

  it('enqueues by its parent', async () => {
    const { result } = await run('addNow')
    await run('add')
    await run('addThenFail')
    const others = await app.bull.get('other')?.getJobs(['waiting'])
    expect(others?.map(({ data }) => data)).toEqual([{ do: 'add' }, { do: 'addNow' }])
    expect(others?.[1]?.id).toBe((result as { id: string }).id)
    expect(await run('addBad')).toMatchObject({ reason: expect.stringContaining("job for 'other': do:") })
    expect(await run('addNone')).toMatchObject({ reason: "there is no queue 'nowhere' in queues/" })
  })
})

describe('the process', () => {
  it('is used again, and there are no more than the concurrency', async () => {
    const jobs = await Promise.all(Array.from({ length: 12 }, () => run('what')))
    const pids = new Set(jobs.map(({ result }) => (result as { pid: number }).pid))
    expect(pids.size).toBeLessThanOrEqual(2)
  })

  it.each([
    ['exit', /^the isolated process ended with exit code 3 before/],
    ['kill', /^the isolated process was killed by SIGKILL/],
    ['uncaught', /^nobody caught this$/],
    ['babble', /./],
  ])('that ends is a failed attempt with its reason: %s', async (act, reason) => {
    expect(await run(act)).toMatchObject({ state: 'failed', reason: expect.stringMatching(reason) })
    expect(await run('what')).toMatchObject({ state: 'completed' })
  })

  it.each(['spin', 'wait'])('has failed within 2 s of its timeout: %s', async (act) => {
    await run('what', 'short')
    const began = performance.now()
    expect(await run(act, 'short')).toMatchObject({ state: 'failed', reason: 'timed out after 1500 ms' })
    const late = performance.now() - began - 1_500
    expect(late).toBeLessThan(2_000)
    expect(late).toBeGreaterThan(-5)
  })
})

it('is killed when its job is cancelled, and another takes its place', async () => {
  await run('what') // so that a process is there, and spins at once
  const { id } = await app.enqueue(queues.work as AnyQueue, { do: 'spin' })
  const at = `${app.prefix}:work`
  await until(async () => (await redis.client.lrange(`${at}:active`, 0, -1)).includes(id), 'it is in hand')
  const answer = await fetch(`${app.url}/api/queues/work/jobs/${id}/cancel`, {
    method: 'POST',
    headers: { authorization: `Bearer ${adminKey}` },
  })
  expect(answer.ok).toBe(true)
  await until(() => redis.client.zscore(`${at}:failed`, id), 'it is dead', 5_000)
  expect(await run('what')).toMatchObject({ state: 'completed' })
})

describe('with its parent', () => {
  /** A worker process with a job in hand, and the pid of the child that has it. */
  async function busy(act: string) {
    const parent = await startMillrace(
      { REDIS_URL: redis.url, KEY_PREFIX: app.prefix, DATA_DIR: app.dataDir, SHUTDOWN_GRACE: '3s', GREETING: 'x' },
      ['--roles', 'worker', '--workers', 'lone'],
      tree.main,
    )
    const { id } = await app.enqueue(queues.lone as AnyQueue, { do: act })
    const beat = await until(
      () => /"job":"([^"]+)".*"pid":(\d+),"msg":"beat"/.exec(parent.output()),
      'the job runs',
      8000,
    ).catch((e) => {
      console.log(parent.output())
      throw e
    })
    expect(beat[1]).toBe(id)
    return { parent, id, pid: Number(beat[2]) }
  }

  it.each(['spin', 'wait'])('killed by kill -9, it dies at once: %s', async (act) => {
    const { parent, pid, id } = await busy(act)
    await parent.kill('SIGKILL')
    const began = performance.now()
    await until(() => !isAlive(pid), 'the child has gone', 5_000)
    expect(performance.now() - began).toBeLessThan(1_000)
    await app.bull.get('lone')?.redis.del(`${app.prefix}:lone:${id}:lock`)
    await app.bull.get('lone')?.obliterate({ force: true })
    await app.bull.get('lone')?.resume()
  })

  it.each(['spin', 'wait'])('stopped, it gives the job back without an attempt, and is gone: %s', async (act) => {
    const { parent, pid, id } = await busy(act)
    const began = performance.now()
    expect(await parent.kill('SIGTERM')).toBe(0)
    expect(performance.now() - began).toBeLessThan(5_000)
    expect(isAlive(pid)).toBe(false)
    expect(await redis.client.lrange(`${app.prefix}:lone:wait`, 0, -1)).toEqual([id])
    expect(await redis.client.hget(`${app.prefix}:lone:${id}`, 'atm')).toBeNull()
    await app.bull.get('lone')?.obliterate()
    await app.bull.get('lone')?.resume()
  })

  it('writes what the handler logs among its own lines, redacted', async () => {
    const { parent, id } = await busy('logThenWait')
    const line =
      parent
        .output()
        .split('\n')
        .find((one) => one.includes('"msg":"said"')) ?? ''
    expect(JSON.parse(line)).toMatchObject({
      level: 'warn',
      queue: 'lone',
      job: id,
      attempt: 1,
      token: '[redacted]',
      err: { type: 'Error', message: 'declined', code: 'card_declined' },
    })
    expect(line).not.toContain('hunter2')
    await parent.kill('SIGTERM')
  })
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return process.platform !== 'linux' || !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}
