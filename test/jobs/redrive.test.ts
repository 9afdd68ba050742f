import { describe, expect, it } from 'vitest'
import { startRedrive } from '../../src/jobs/redrive.ts'
import { Redriver } from '../../src/jobs/redriver.ts'
import { createLogger } from '../../src/observe/log.ts'
import { operatorKey, tenantKey, viewerKey } from '../harness/app.ts'
import { type Chores, choresWorker, type Seen, startChores, useChores } from '../harness/operator.ts'
import type { TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* Dead letters run again: preview, run, progress; what happens when a process dies in the middle of it. */

let redis: TestRedis
let at: Chores
let seen: Seen
useChores((made) => {
  redis = made.redis
  at = made.at
  seen = made.seen
})

type Answer = {
  status: number
  code?: string
  detail?: string
  token: string
  matched: number
  state: string
  done: number
  skipped: number
  left: number
  groups: { group: string; count: number; title: string }[]
  sample: { id: string }[]
}
const redrive = async (body: object, key = operatorKey): Promise<Answer> => {
  const response = await at.post('/redrive', body, key)
  return { ...((await response.json()) as Answer), status: response.status }
}
const progress = (token: string, key = operatorKey) => at.read<Answer>(`/redrive/${token}`, { key })
const finished = (token: string) =>
  until(async () => {
    const now = await progress(token)
    return now.state === 'done' ? now : undefined
  }, 'the redrive is done')

/** So many dead jobs, in the order in which they died. */
async function dead(count: number, say = 'broken', tenant?: string): Promise<string[]> {
  const ids: string[] = []
  for (let i = 0; i < count; i += 1) ids.push(await at.add('drop', say, tenant))
  for (const id of ids) await at.inState(id, 'failed')
  return ids
}

describe('a preview', () => {
  it('tells what would run again, and changes nothing', async () => {
    await dead(2, 'Order 17 is unknown')
    await dead(1, 'no money')
    const all = await redrive({ queue: 'chores' })
    expect(all).toMatchObject({ status: 200, queue: 'chores', matched: 3, looked: 3, ratePerSecond: 50 })
    expect(all.groups.map(({ title, count }) => [title, count])).toEqual([
      ['Order <n> is unknown', 2],
      ['no money', 1],
    ])
    expect(all.sample).toHaveLength(3)
    expect(await at.bull.getFailedCount()).toBe(3)
    expect(await progress(all.token)).toMatchObject({ state: 'preview', done: 0, left: 3 })
  })

  it('is of exactly what the filter names', async () => {
    const [first = ''] = await dead(2, 'Order 17 is unknown')
    const [other = ''] = await dead(1, 'no money', 'T-TWO')
    const { groups } = await redrive({ queue: 'chores' })
    const soon = new Date(Date.now() + 60_000).toISOString()
    for (const [filter, matched] of [
      [{ text: '17' }, 2],
      [{ text: 'money' }, 1],
      [{ group: groups[0]?.group }, 2],
      [{ tenant: 'T-TWO' }, 1],
      [{ name: 'chores' }, 3],
      [{ name: 'chore' }, 0],
      [{ ids: [first, other, 'nobody'] }, 2],
      [{ ids: [first], tenant: 'T-TWO' }, 0],
      [{ since: soon }, 0],
      [{ until: soon }, 3],
    ] as const)
      expect([filter, (await redrive({ queue: 'chores', filter })).matched]).toEqual([filter, matched])
  })

  it.each([
    [{}, 400],
    [{ queue: 'nothing' }, 404],
    [{ queue: 'chores', filter: { groups: 'x' } }, 400],
    [{ queue: 'chores', filter: { group: 'all' } }, 400],
    [{ queue: 'chores', filter: { since: 'yesterday' } }, 400],
    [{ queue: 'chores', rate: '50' }, 400],
    [{ queue: 'chores', rate: '0/s' }, 400],
    [{ queue: 'chores', rate: '5000/s' }, 400],
    [{ queue: 'chores', dryRun: false }, 400],
    [{ token: 'x'.repeat(22) }, 404],
    [{ token: '../inbox' }, 404],
    [{ token: 7 }, 400],
  ])('of %j is refused with %i', async (body, status) => {
    expect(await redrive(body)).toMatchObject({ status })
  })
})

describe('a token', () => {
  it('runs exactly what the preview showed, with all attempts, once', async () => {
    const ids = await dead(3)
    const { token } = await redrive({ queue: 'chores' })
    const [late = ''] = await dead(1)
    seen.mended = true
    expect(await redrive({ token })).toMatchObject({ status: 200, matched: 3 })
    expect(await finished(token)).toMatchObject({ done: 3, skipped: 0, left: 0, by: 'olga' })
    for (const id of ids) expect(await at.inState(id, 'completed')).toMatchObject({ attemptsMade: 1 })
    expect((await at.job(late)).state).toBe('failed')
    expect(await redrive({ token })).toMatchObject({ state: 'done', done: 3 })
    for (const id of ids) expect(seen.ran.get(id)).toBe(2)
  })

  it('skips what is not dead any more, and what died anew', async () => {
    const [retried = '', again = '', left = ''] = await dead(3)
    const { token } = await redrive({ queue: 'chores' })
    await at.post(`/queues/chores/jobs/${again}/retry`)
    await until(() => seen.ran.get(again) === 2, 'it has run again')
    await at.inState(again, 'failed')
    seen.mended = true
    await at.post(`/queues/chores/jobs/${retried}/retry`)
    await at.inState(retried, 'completed')
    await redrive({ token })
    expect(await finished(token)).toMatchObject({ done: 1, skipped: 2, left: 0 })
    await at.inState(left, 'completed')
    expect((await at.job(again)).state).toBe('failed')
  })

  it('is good only for the key it was given to, and expires', async () => {
    await dead(1, 'x', 'T-ONE')
    const { token } = await redrive({ queue: 'chores' })
    expect(await redrive({ token }, tenantKey)).toMatchObject({ status: 404, code: 'unknown-redrive' })
    expect(await redrive({ token }, viewerKey)).toMatchObject({ status: 403 })
    expect((await at.ask(`/redrive/${token}`, { key: tenantKey })).status).toBe(404)
    expect((await at.ask(`/redrive/${token}`, { key: viewerKey })).status).toBe(200)
    const key = `${at.app.prefix}:redrive:${token}`
    for (const one of [key, `${key}:jobs`]) {
      const left = await redis.client.pttl(one)
      expect(left).toBeGreaterThan(9 * 60_000)
      expect(left).toBeLessThanOrEqual(10 * 60_000)
    }
    await redis.client.del(key)
    expect(await redrive({ token })).toMatchObject({ status: 404, code: 'unknown-redrive' })
    expect(await at.bull.getFailedCount()).toBe(1)
  })

  it('of a tenant’s key is about that tenant’s jobs', async () => {
    const [mine = ''] = await dead(1, 'x', 'T-ONE')
    await dead(1, 'x', 'T-TWO')
    const preview = await redrive({ queue: 'chores' }, tenantKey)
    expect(preview).toMatchObject({ matched: 1, sample: [{ id: mine }] })
    expect(await redrive({ queue: 'chores', filter: { tenant: 'T-TWO' } }, tenantKey)).toMatchObject({ status: 403 })
  })
})

describe('a run', () => {
  it('keeps to its rate', async () => {
    await dead(12)
    const { token } = await redrive({ queue: 'chores', rate: '20/s' })
    seen.mended = true
    const began = performance.now()
    await redrive({ token })
    await finished(token)
    // The first goes at once, eleven more follow at 50 ms each; a busy machine only makes it slower.
    expect(performance.now() - began).toBeGreaterThan(500)
  })

  it('is stopped, and what is left stays dead', async () => {
    await dead(5)
    const { token } = await redrive({ queue: 'chores', rate: '1/m' })
    seen.mended = true
    await redrive({ token })
    await until(async () => (await progress(token)).done === 1, 'the first has gone')
    const response = await at.ask(`/redrive/${token}`, { method: 'DELETE', key: operatorKey })
    expect(await response.json()).toMatchObject({ state: 'stopped', done: 1, left: 4 })
    expect(await at.bull.getFailedCount()).toBe(4)
    expect(await redrive({ token })).toMatchObject({ state: 'stopped' })
    await until(async () => (await redis.client.exists(`${at.app.prefix}:redrive:${token}:lock`)) === 0, 'it is let go')
  })

  it('whose process died is gone on with, and no job is lost or run twice', async () => {
    const ids = await dead(30)
    seen.mended = true
    const { token } = await redrive({ queue: 'chores', rate: '1000/s' })
    // Another process has it, did a part of it, and was killed: its lock holds for a while, its work is done.
    const lock = `${at.app.prefix}:redrive:${token}:lock`
    await redis.client.set(lock, 'one that died', 'PX', 60_000)
    const prefix = at.app.prefix
    const { key } = { key: (await redis.client.hget(`${prefix}:redrive:${token}`, 'owner')) ?? '' }
    await startRedrive(at.app.bull, token, { prefix, owner: { name: 'olga', key } })
    expect(await progress(token)).toMatchObject({ state: 'running', done: 0 })
    await redis.client.del(lock)
    const log = createLogger({ logLevel: 'silent', logFormat: 'json' })
    const others = [1, 2].map(() => new Redriver({ redis: at.bull.redis, bull: at.app.bull, prefix, log }))
    await Promise.all(others.map((other) => other.start()))
    expect(await finished(token)).toMatchObject({ done: 30, skipped: 0 })
    for (const id of ids) await at.inState(id, 'completed')
    expect([...seen.ran.values()].every((count) => count === 2)).toBe(true)
    expect(await redis.client.exists(`${prefix}:redrives`)).toBe(0)
    await Promise.all(others.map((other) => other.stop()))
  })

  it('goes on when the store was killed under it, and counts each job once', async () => {
    const ids = await dead(40)
    seen.mended = true
    const { token } = await redrive({ queue: 'chores', rate: '40/s' })
    await redrive({ token })
    await until(async () => (await progress(token)).done >= 3, 'some have gone')
    await redis.kill()
    await redis.restart()
    expect(await finished(token)).toMatchObject({ done: 40, skipped: 0 })
    // One that was in hand when the store died is taken back when its lock has run out; none is dead, none is gone.
    for (const id of ids) expect(['completed', 'active', 'waiting']).toContain((await at.job(id)).state)
  })

  it('stopped half-way by its process goes on in another', async () => {
    await dead(6)
    seen.mended = true
    const { token } = await redrive({ queue: 'chores', rate: '2/s' })
    await redrive({ token })
    await until(async () => (await progress(token)).done >= 1, 'the first has gone')
    const before = at
    const again = await startChores(redis.url, { worker: choresWorker().worker, prefix: before.app.prefix })
    await before.app.close()
    at = again
    const after = await finished(token)
    expect([after.done, after.skipped]).toEqual([6, 0])
  })
})
