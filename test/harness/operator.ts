import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import type { AnyWorker } from '../../src/define/worker.ts'
import { defineQueue, defineWorker, drop } from '../../src/index.ts'
import type { JobSummary } from '../../src/jobs/inspect.ts'
import { apiOf } from './api.ts'
import { startTestApp, type TestApp } from './app.ts'
import { startRedis, type TestRedis } from './redis.ts'
import { until } from './until.ts'

/** A queue whose jobs do what their payload says, so that a test can have one in any state. */
export const chores = defineQueue({
  name: 'chores',
  payload: z.object({ do: z.enum(['work', 'fail', 'drop', 'hang', 'defer', 'late']), say: z.string().default('x') }),
  retry: { attempts: 2, base: '1ms', max: '1ms' },
})

/** What the worker was told, by job: `ran` counts attempts, `aborted` says why one was stopped. */
export type Seen = { ran: Map<string, number>; aborted: Map<string, string>; mended: boolean; letGo: () => void }

export function choresWorker(): { worker: AnyWorker; seen: Seen } {
  const seen: Seen = { ran: new Map(), aborted: new Map(), mended: false, letGo: () => {} }
  const worker = defineWorker(
    chores,
    async ({ id, payload }, { signal }) => {
      seen.ran.set(id, (seen.ran.get(id) ?? 0) + 1)
      if (seen.mended) return { said: payload.say }
      if (payload.do === 'fail') throw new Error(payload.say)
      if (payload.do === 'drop') return drop(payload.say)
      if (payload.do === 'hang' || payload.do === 'late')
        await new Promise<void>((resolve, reject) => {
          seen.letGo = resolve
          signal.addEventListener('abort', () => {
            seen.aborted.set(id, String(signal.reason.because))
            // One kind of handler gives up, the other returns as if nothing had been.
            if (payload.do === 'hang') reject(signal.reason)
            else resolve()
          })
        })
      return { said: payload.say }
    },
    { concurrency: 20 },
  )
  return { worker, seen }
}

/** An App with those. Without a worker, jobs stay where they are. */
export async function startChores(
  redisUrl: string,
  { worker, prefix, roles }: { worker?: AnyWorker; prefix?: string; roles?: string } = {},
) {
  const app = await startTestApp(redisUrl, {
    env: {
      ...(prefix === undefined ? {} : { KEY_PREFIX: prefix }),
      ...(roles === undefined ? {} : { ROLES: roles, ...(roles.includes('http') ? {} : { PORT: '' }) }),
    },
    definitions: { queues: [chores, quarantine], workers: worker ? [worker] : [], ignored: [] },
  })
  const bull = app.bull.get('chores')
  if (!bull) throw new Error('no queue')
  return { app, bull, prefix: prefix ?? app.prefix, ...chore(app) }
}

function chore(app: TestApp) {
  const { ask, read } = apiOf(() => app)
  const post = (path: string, body?: unknown, key?: string) =>
    ask(path, {
      method: 'POST',
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
      ...(key === undefined ? {} : { key }),
    })
  const job = (id: string) => read<JobSummary & { result: unknown }>(`/queues/chores/jobs/${id}`)
  return {
    ask,
    read,
    post,
    job,
    add: async (what: 'work' | 'fail' | 'drop' | 'hang' | 'late', say = 'x', tenant?: string) =>
      (await app.enqueue(chores, { do: what, say }, tenant === undefined ? {} : { tenant })).id,
    inState: (id: string, state: string) =>
      until(async () => ((await job(id)).state === state ? job(id) : undefined), `${id} is ${state}`),
  }
}

export type Chores = Awaited<ReturnType<typeof startChores>>

/** For each test an App of its own with its worker, on one store for all of the file. `given` is told before each. */
export function useChores(given: (made: { redis: TestRedis; at: Chores; seen: Seen }) => void): void {
  let redis: TestRedis
  let at: Chores
  beforeAll(async () => {
    redis = await startRedis()
  })
  afterAll(() => redis.stop())
  beforeEach(async () => {
    const { worker, seen } = choresWorker()
    at = await startChores(redis.url, { worker })
    given({ redis, at, seen })
  })
  afterEach(() => at.app.close())
}
