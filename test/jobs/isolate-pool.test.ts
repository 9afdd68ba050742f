import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { Context, Job } from '../../src/define/worker.ts'
import { Isolate, type IsolateOptions, isolatedEnv } from '../../src/jobs/isolate.ts'
import { createLogger, type Logger } from '../../src/observe/log.ts'
import { makeTree, type Tree } from '../harness/tree.ts'
import { until } from '../harness/until.ts'

/* The processes of one isolated worker: how many there are, and for how long. */

let tree: Tree
let base: IsolateOptions
const pools: Isolate[] = []

beforeAll(async () => {
  tree = makeTree({
    queues: {
      work: `import { z } from 'zod'
        import { defineQueue } from '../src/index.js'
        export default defineQueue({ name: 'work', payload: z.object({ ms: z.number() }) })`,
    },
    workers: {
      work: `import { setTimeout as sleep } from 'node:timers/promises'
        import { z } from 'zod'
        import { defineWorker } from '../src/index.js'
        import queue from '../queues/work.js'
        export default defineWorker(queue, ({ payload }) => sleep(payload.ms, process.pid),
          { isolate: true, concurrency: 2, settings: z.looseObject({ WORD: z.string() }) })`,
    },
  })
  const { queues, workers, workerFile } = await tree.definitions()
  const [worker] = workers
  if (!worker || !workerFile) throw new Error('no worker')
  base = { worker, file: workerFile('work'), env: { WORD: 'x' }, queues, entry: tree.isolateEntry }
})
afterAll(async () => {
  for (const pool of pools) await pool.stop()
  tree.remove()
})

function start(over: Partial<IsolateOptions> = {}) {
  const pool = new Isolate({ ...base, ...over })
  pools.push(pool)
  const run = (ms: number, signal = new AbortController().signal) => {
    const job: Job<unknown> = {
      id: 'j',
      payload: { ms },
      attempt: 1,
      attempts: 1,
      name: 'work',
      tenant: undefined,
      enqueuedAt: new Date(),
    }
    const log = createLogger({ logLevel: 'silent', logFormat: 'json' })
    const enqueue = Object.assign(() => Promise.resolve(), { now: () => Promise.reject(new Error('no')) })
    return pool.run(job, { signal, log, enqueue, settings: {} } as unknown as Context<never> & { log: Logger })
  }
  return { pool, run }
}

it('there are at most as many as the concurrency, each is used again, and ends when it has nothing to do', async () => {
  const { pool, run } = start({ idleMs: 200 })
  const pids = await Promise.all([run(50), run(50), run(50), run(50)])
  expect(new Set(pids).size).toBe(2)
  expect(pool.pids.length).toBe(2)
  await until(() => pool.pids.length === 0, 'both have ended')
  expect(pids).not.toContain(await run(0))
})

it('a stop ends them all, busy or not', async () => {
  const { pool, run } = start()
  await run(0)
  const busy = run(60_000).catch((error: unknown) => error)
  await pool.stop()
  expect(pool.pids).toEqual([])
  expect(await busy).toMatchObject({ name: 'ProcessEnded', code: 'SIGKILL' })
})

it('a file that does not load, and settings that are not there, fail the attempt with the reason', async () => {
  const gone = start({ file: join(tree.dir, 'gone.js') })
  await expect(gone.run(0)).rejects.toThrow(/gone\.js cannot be loaded/)
  await expect(start({ env: {} }).run(0)).rejects.toThrow(/WORD: /)
})

it('has the declared variables and no others, also of a schema that lets more through', () => {
  const env = { WORD: 'x', PATH: '/bin', TZ: 'UTC', API_KEYS: 'secret', REDIS_URL: 'redis://:secret@x' }
  expect(isolatedEnv(base.worker, env, env)).toEqual({ WORD: 'x', PATH: '/bin', TZ: 'UTC' })
  expect(isolatedEnv({ ...base.worker, settings: undefined }, undefined, env)).toEqual({ PATH: '/bin', TZ: 'UTC' })
})
