import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../../queues/quarantine.ts'
import { RateLimited } from '../../../src/define/rate-limited.ts'
import { defer, defineQueue, defineWorker, drop } from '../../../src/index.ts'
import { cancelJob, removeJob, retryJob } from '../../../src/jobs/actions.ts'
import type { BullQueue } from '../../../src/jobs/bull.ts'
import { Gate } from '../../../src/jobs/gate.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { startTestApp } from '../../harness/app.ts'
import { startRedis, type TestRedis } from '../../harness/redis.ts'
import { freshId } from '../../harness/slack.ts'
import { until } from '../../harness/until.ts'

/*
 * Random things done to gated queues while two workers are at it. Whatever it was, afterwards every job that was acknowledged and
 * not removed has ended, bounds and order were kept all the time, and the gate holds nothing any more. MODEL_RUNS=500 looks harder.
 */

const numRuns = Number(process.env.MODEL_RUNS ?? 12)
const payload = z.object({ tenant: z.string(), key: z.string(), plan: z.array(z.string()) })
type Item = z.infer<typeof payload>
const bound = 2
const byTenant = ({ tenant }: Item) => tenant
const byKey = ({ tenant, key }: Item) => `${tenant}/${key}`
const kinds = {
  tenant: { tenant: { by: byTenant, concurrency: bound } },
  order: { order: { by: byKey } },
  both: { tenant: { by: byTenant, concurrency: bound }, order: { by: byKey } },
  limit: { limit: { by: byKey, max: 3, per: '20ms' }, tenant: { by: byTenant, concurrency: bound } },
  rate: { tenant: { by: byTenant, rate: { max: 5, per: '20ms' }, weight: (of: string) => (of === 'a' ? 3 : 1) } },
} as const

const outcome = fc.constantFrom('ok', 'ok', 'fail', 'defer', 'limited', 'slow', 'drop', 'never')
const item = fc.record({
  tenant: fc.constantFrom('a', 'b', 'c'),
  key: fc.constantFrom('x', 'y'),
  plan: fc.array(outcome, { minLength: 1, maxLength: 4 }),
})
const deeds = ['cancel', 'remove', 'retry', 'retry', 'promote', 'again', 'delayed', 'repeat'] as const
const tampering = ['clean', 'retryAll', 'promoteAll', 'lost', 'boardAdd', 'boardRemove'] as const
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('add' as const), items: fc.array(item, { minLength: 1, maxLength: 8 }) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom(...deeds), which: fc.nat(1_000) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom(...tampering), which: fc.nat(1_000) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constantFrom('pause' as const, 'resume' as const, 'wait' as const),
      which: fc.nat(),
    }),
  },
)
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'everysec' })
})
afterAll(() => redis.stop())

async function play(kind: keyof typeof kinds, steps: readonly Step[]): Promise<void> {
  const queue = defineQueue({
    name: 'model',
    payload,
    retry: { attempts: 3, base: '1ms', max: '5ms', on: { Never: 'never' } },
    ...kinds[kind],
  })
  const inHand = new Map<string, number>()
  const broken: string[] = []
  const enter = (name: string, most: number, by: number) => {
    const count = (inHand.get(name) ?? 0) + by
    inHand.set(name, count)
    if (count > most) broken.push(`${count} of ${name} in hand`)
  }
  const calls = new Map<string, number>()
  const starts: string[] = []
  const keyOf = new Map<string, string>()
  /** Somebody has done something to it, so that it may run out of order. */
  const touched = new Set<string>()
  const worker = () =>
    defineWorker(
      queue,
      async ({ id, payload: one }, { signal }) => {
        const call = calls.get(id) ?? 0
        calls.set(id, call + 1)
        if (call === 0) starts.push(id)
        keyOf.set(id, byKey(one))
        const ofTenant = kind === 'tenant' || kind === 'both' || kind === 'limit' ? bound : Number.POSITIVE_INFINITY
        const ofKey = kind === 'order' || kind === 'both' ? 1 : Number.POSITIVE_INFINITY
        enter(`tenant ${one.tenant}`, ofTenant, 1)
        enter(`key ${byKey(one)}`, ofKey, 1)
        try {
          const what = one.plan[call] ?? 'ok'
          await new Promise((resolve) => setTimeout(resolve, what === 'slow' ? 30 : 1))
          signal.throwIfAborted()
          if (what === 'fail') throw new Error('as planned')
          if (what === 'never') throw Object.assign(new Error('as planned'), { name: 'Never' })
          if (what === 'limited') throw new RateLimited(0.1, byKey(one))
          if (what === 'defer') return defer('5ms')
          if (what === 'drop') return drop('as planned')
          return undefined
        } finally {
          enter(`tenant ${one.tenant}`, ofTenant, -1)
          enter(`key ${byKey(one)}`, ofKey, -1)
        }
      },
      { concurrency: 6 },
    )
  const env = { KEY_PREFIX: freshId('p') }
  const start = (roles: string) =>
    startTestApp(redis.url, {
      definitions: { queues: [queue, quarantine], workers: roles === 'worker' ? [worker()] : [], ignored: [] },
      env: { ...env, ROLES: roles },
    })
  const apps = [await start('scheduler'), await start('worker'), await start('worker')] as const
  const [app] = apps
  const bull = app.bull.get('model') as BullQueue
  const log = createLogger({ logLevel: 'silent', logFormat: 'json' })
  const gate = new Gate({ queues: [queue], bull: app.bull, log })
  const ids: string[] = []
  const removed = new Set<string>()
  const at = (which: number) => ids[which % Math.max(1, ids.length)]
  const actor = { name: 'olga' }
  let tampered = false
  const act = async (one: Step): Promise<void> => {
    if (one.do === 'add') {
      for (const each of one.items) ids.push((await app.enqueue(queue, each, { dedupeKey: freshId('d') })).id)
      return
    }
    if (one.do === 'pause') return bull.pause()
    if (one.do === 'resume') return bull.resume()
    if (one.do === 'wait') return void (await new Promise((resolve) => setTimeout(resolve, 20)))
    const { which } = one
    const id = at(which)
    if (id === undefined) return
    touched.add(id)
    if (one.do === 'cancel') await cancelJob(bull, id, { actor, prefix: env.KEY_PREFIX })
    if (one.do === 'remove') {
      await removeJob(bull, id, { actor })
      removed.add(id)
    }
    if (one.do === 'retry') await retryJob(bull, id, { actor })
    if (one.do === 'again') await retryJob(bull, id, { actor, again: true })
    if (one.do === 'promote') await (await bull.getJob(id))?.promote()
    if (one.do === 'delayed') {
      const later = (await app.enqueue(queue, { tenant: 'a', key: 'x', plan: ['fail', 'ok'] }, { delay: '10ms' })).id
      ids.push(later)
      touched.add(later)
    }
    if (one.do === 'repeat') {
      // Whoever adds a dead one again revives it.
      const dedupeKey = `again ${which % 3}`
      const added = await app.enqueue(queue, { tenant: 'b', key: 'y', plan: ['never', 'ok'] }, { dedupeKey })
      if (!ids.includes(added.id)) ids.push(added.id)
      touched.add(added.id)
    }
    if (!(tampering as readonly string[]).includes(one.do)) return
    tampered = true
    if (one.do === 'clean') {
      const state = (['delayed', 'failed', 'completed', 'prioritized'] as const)[which % 4] ?? 'failed'
      for (const gone of await bull.clean(0, 3, state)) removed.add(gone)
    }
    if (one.do === 'retryAll') await bull.retryJobs({ state: which % 2 ? 'failed' : 'completed' })
    if (one.do === 'promoteAll') await bull.promoteJobs()
    if (one.do === 'boardAdd') ids.push((await bull.add('board', { tenant: 'a', key: 'x', plan: ['ok'] })).id ?? '')
    if (one.do === 'boardRemove') {
      await (await bull.getJob(id))?.remove()
      removed.add(id)
    }
    if (one.do === 'lost') {
      const names = ['ready', 'later', 'turns', 'of:a', 'of:b', 'running', 'lanes', 'names']
      await bull.redis.del(bull.toKey(`gate:${names[which % names.length]}`))
    }
  }
  try {
    // What is refused (active, unknown, …) is no matter here.
    for (const one of steps) await act(one).catch(() => {})
    await bull.resume()
    const isOver = async () => {
      if (tampered) await gate.reconcile()
      const counts = await bull.getJobCounts('active', 'waiting', 'prioritized', 'delayed')
      return Object.values(counts).every((count) => count === 0)
    }
    await until(isOver, 'all have ended').catch(async (error) => {
      const state = {
        counts: await bull.getJobCounts(),
        gate: await Promise.all(
          ['gate', 'gate:lanes', 'gate:names', 'gate:running', 'gate:held', 'gate:turns'].map(async (k) => [
            k,
            await bull.redis.hgetall(bull.toKey(k)),
          ]),
        ),
        ready: await bull.redis.zrange(bull.toKey('gate:ready'), '0', '-1', 'WITHSCORES'),
        later: await bull.redis.zrange(bull.toKey('gate:later'), '0', '-1', 'WITHSCORES'),
        waiting: await bull.redis.zrange(bull.toKey('prioritized'), '0', '-1', 'WITHSCORES'),
        plain: await bull.redis.lrange(bull.toKey('wait'), 0, -1),
      }
      throw new Error(`${error}\n${JSON.stringify(state, null, 1)}`)
    })
    if (!tampered) {
      expect(broken).toEqual([])
      const left = (all: readonly string[], key: string) =>
        all.filter((id) => !touched.has(id) && keyOf.get(id) === key)
      if (kind === 'order' || kind === 'both')
        for (const key of new Set(keyOf.values())) expect(left(starts, key)).toEqual(left(ids, key))
    }
    for (const id of ids) {
      const state = await bull.getJobState(id)
      if (!removed.has(id)) expect([id, state]).toEqual([id, expect.stringMatching(/^(completed|failed)$/)])
    }
    if (tampered) await gate.reconcile()
    const running = await bull.redis.hvals(bull.toKey('gate:running'))
    expect(running.reduce((sum, count) => sum + Number(count), 0)).toBe(0)
    expect(await bull.redis.hgetall(bull.toKey('gate:held'))).toEqual({})
  } finally {
    for (const one of [...apps].reverse()) await one.close()
  }
}

it('ends every job, whatever is done to a gated queue', { timeout: 3_600_000 }, async () => {
  const kind = fc.constantFrom(...(Object.keys(kinds) as (keyof typeof kinds)[]))
  await fc.assert(fc.asyncProperty(kind, fc.array(step, { minLength: 10, maxLength: 60 }), play), {
    numRuns,
    endOnFailure: !process.env.MODEL_SHRINK,
  })
})
