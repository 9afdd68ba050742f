import { describe, expect, it } from 'vitest'
import { adminKey, operatorKey, tenantKey, viewerKey } from '../harness/app.ts'
import { type Chores, chores, type Seen, useChores } from '../harness/operator.ts'
import { until } from '../harness/until.ts'

/* Retry, cancel and delete of one job, on a real app with a worker that does what the payload says. */

let at: Chores
let seen: Seen
useChores((made) => {
  at = made.at
  seen = made.seen
})

const path = (id: string, verb: string) => `/queues/chores/jobs/${id}/${verb}`
type Answer = { status: number; was?: string; [field: string]: unknown }
const act = async (id: string, verb: string, body?: unknown, key = operatorKey): Promise<Answer> => {
  const response = await at.post(path(id, verb), body, key)
  return { ...((await response.json()) as Answer), status: response.status }
}
/** What the job says of itself. */
const why = async (id: string) => JSON.parse((await at.bull.redis.hget(at.bull.toKey(id), 'why')) ?? '{}') as unknown
const events = async () => (await at.bull.redis.xrange(at.bull.toKey('events'), '-', '+')).map(([, fields]) => fields)

describe('retry', () => {
  it('gives a dead job all of its attempts again', async () => {
    const id = await at.add('fail', 'no luck')
    expect((await at.inState(id, 'failed')).attemptsMade).toBe(2)
    expect(await act(id, 'retry')).toMatchObject({ status: 200, id, queue: 'chores', state: 'waiting', was: 'failed' })
    await until(() => seen.ran.get(id) === 4, 'it has been tried twice more')
    expect(await at.inState(id, 'failed')).toMatchObject({ attemptsMade: 2, reason: 'no luck' })
    seen.mended = true
    await act(id, 'retry')
    expect((await at.inState(id, 'completed')).result).toEqual({ said: 'no luck' })
  })

  it('runs a delayed job at once', async () => {
    await at.bull.pause()
    const id = await at.add('work')
    const job = await at.bull.getJob(id)
    await at.bull.redis.lrem(at.bull.toKey('wait'), 1, id)
    await at.bull.redis.zadd(at.bull.toKey('delayed'), (Date.now() + 3_600_000) * 0x1000, id)
    expect(await job?.getState()).toBe('delayed')
    await at.bull.resume()
    expect(await act(id, 'retry')).toMatchObject({ status: 200, state: 'waiting', was: 'delayed' })
    await at.inState(id, 'completed')
  })

  it('leaves what waits or runs alone, and what is done unless it is wanted again', async () => {
    const running = await at.add('hang')
    await at.inState(running, 'active')
    expect(await act(running, 'retry')).toMatchObject({ status: 200, state: 'active', was: 'active' })
    seen.letGo()
    await at.inState(running, 'completed')
    expect(await act(running, 'retry')).toMatchObject({ status: 409, code: 'wrong-state' })
    expect(seen.ran.get(running)).toBe(1)
    expect(await act(running, 'retry?again=maybe')).toMatchObject({ status: 400, code: 'bad-request' })
    seen.mended = true
    expect(await act(running, 'retry?again=true')).toMatchObject({ status: 200, state: 'waiting', was: 'completed' })
    await until(() => seen.ran.get(running) === 2, 'it ran again')

    await at.bull.pause()
    const waiting = await at.add('work')
    expect(await act(waiting, 'retry')).toMatchObject({ status: 200, state: 'waiting', was: 'waiting' })
    await at.bull.resume()
  })

  it('by several at once makes one run of it', async () => {
    const id = await at.add('drop', 'gone')
    await at.inState(id, 'failed')
    seen.mended = true
    const answers = await Promise.all(Array.from({ length: 8 }, () => act(id, 'retry?again=false')))
    expect(answers.filter(({ was }) => was === 'failed')).toHaveLength(1)
    await at.inState(id, 'completed')
    expect(seen.ran.get(id)).toBe(2)
  })
})

describe('cancel', () => {
  it('buries a job that waits, so that it never runs, is seen, and can be retried', async () => {
    await at.bull.pause()
    const id = await at.add('work')
    expect(await act(id, 'cancel', { reason: 'a mistake' })).toMatchObject({
      status: 200,
      state: 'failed',
      was: 'waiting',
    })
    expect(await at.job(id)).toMatchObject({
      state: 'failed',
      reason: 'cancelled: a mistake (by olga)',
      attemptsMade: 0,
    })
    expect(await why(id)).toMatchObject({ code: 'cancelled', reason: 'cancelled: a mistake (by olga)' })
    expect(await act(id, 'cancel')).toMatchObject({ status: 200, state: 'failed', was: 'failed' })
    expect((await events()).filter((fields) => fields.includes('failed') && fields.includes(id))).toHaveLength(1)
    await at.bull.resume()
    const after = await at.add('work')
    await at.inState(after, 'completed')
    expect(seen.ran.has(id)).toBe(false)
    await act(id, 'retry')
    await at.inState(id, 'completed')
  })

  it.each(['hang', 'late'] as const)(
    'stops a job that runs, whose handler ends with %s, and does not retry it',
    async (how) => {
      const id = await at.add(how)
      await until(() => seen.ran.has(id), 'it runs')
      expect(await act(id, 'cancel')).toMatchObject({ status: 200, state: 'cancelling', was: 'active' })
      expect(await at.inState(id, 'failed')).toMatchObject({ reason: 'cancelled: by olga', attemptsMade: 1 })
      expect([seen.aborted.get(id), seen.ran.get(id)]).toEqual(['cancelled', 1])
      expect(await why(id)).toMatchObject({ code: 'cancelled', reason: 'cancelled: by olga' })
      // Nothing of it is left that would stop a new run.
      seen.mended = true
      await act(id, 'retry')
      await at.inState(id, 'completed')
    },
  )

  it('of a job that runs is no reason not to run when the board retries it, or its event comes again', async () => {
    const id = await at.add('hang')
    await until(() => seen.ran.has(id), 'it runs')
    await act(id, 'cancel')
    await at.inState(id, 'failed')
    seen.mended = true
    await (await at.bull.getJob(id))?.retry()
    await at.inState(id, 'completed')
  })

  it('holds at the next start for a job that nobody has in hand any more', async () => {
    await at.bull.pause()
    const id = await at.add('work')
    // As a worker that died leaves it: active, and in nobody's hand.
    await at.bull.redis.lmove(at.bull.toKey('wait'), at.bull.toKey('active'), 'RIGHT', 'LEFT')
    expect(await act(id, 'cancel')).toMatchObject({ state: 'cancelling', was: 'active' })
    // As it is taken back from there.
    await at.bull.redis.lmove(at.bull.toKey('active'), at.bull.toKey('wait'), 'LEFT', 'RIGHT')
    await at.bull.resume()
    expect(await at.inState(id, 'failed')).toMatchObject({ reason: 'cancelled: by olga' })
    expect(seen.ran.has(id)).toBe(false)
    expect(await why(id)).toMatchObject({ code: 'cancelled', reason: 'cancelled: by olga' })
    expect(await (await fetch(`${at.app.url}/metrics`)).text()).toMatch(
      /jobs_finished_total\{[^}]*outcome="cancelled"[^}]*\} 1/,
    )
  })

  it('of the next run of a schedule lets the schedule go on', async () => {
    await at.bull.upsertJobScheduler('often', { every: 300 }, { name: 'often', data: { do: 'work' } })
    const next = async () => (await at.bull.getDelayed())[0]?.id
    const id = await until(next, 'there is a next run')
    expect((await at.ask(`/queues/chores/jobs/${id}`, { method: 'DELETE' })).status).toBe(409)
    expect(await act(id, 'cancel')).toMatchObject({ status: 200, state: 'cancelling', was: 'scheduled' })
    expect(await at.inState(id, 'failed')).toMatchObject({ reason: 'cancelled: by olga' })
    expect(seen.ran.has(id)).toBe(false)
    const after = await until(async () => [...seen.ran.keys()].find((other) => other > id), 'the one after it runs')
    await at.inState(after, 'completed')
    await at.bull.removeJobScheduler('often')
  })

  it('refuses what is done and what is no reason', async () => {
    const id = await at.add('work')
    await at.inState(id, 'completed')
    expect(await act(id, 'cancel')).toMatchObject({ status: 409, code: 'wrong-state' })
    for (const body of [{ reason: '' }, { reason: 7 }, { reason: 'x'.repeat(501) }, { why: 'x' }])
      expect(await act(id, 'cancel', body)).toMatchObject({ status: 400, code: 'bad-request' })
  })
})

describe('delete', () => {
  const remove = async (id: string, key = adminKey) => {
    const response = await at.ask(`/queues/chores/jobs/${id}`, { method: 'DELETE', key })
    return { ...((await response.json()) as Answer), status: response.status }
  }

  it('removes the job and forgets its deduplication keys', async () => {
    const { enqueue } = at.app
    const chore = { do: 'work', say: 'once' } as const
    const { id } = await enqueue(chores, chore, { dedupeKey: 'k' })
    await at.inState(id, 'completed')
    await at.bull.redis.hset(
      at.bull.toKey(id),
      'opts',
      JSON.stringify({ ...(await at.bull.getJob(id))?.opts, meta: { alias: 'other' } }),
    )
    await at.bull.redis.set(at.bull.toKey('de:other'), id)
    expect((await enqueue(chores, chore, { dedupeKey: 'k' })).duplicate).toBe(true)
    expect(await remove(id)).toMatchObject({ status: 200, state: 'removed', was: 'completed' })
    expect(await remove(id)).toMatchObject({ status: 404, code: 'unknown-job' })
    expect(await at.bull.redis.exists(at.bull.toKey(id), at.bull.toKey('de:other'))).toBe(0)
    expect((await enqueue(chores, chore, { dedupeKey: 'k' })).duplicate).toBe(false)
  })

  it('refuses a job that runs', async () => {
    const id = await at.add('hang')
    await at.inState(id, 'active')
    expect(await remove(id)).toMatchObject({ status: 409, code: 'wrong-state' })
    seen.letGo()
    await at.inState(id, 'completed')
  })

  it('leaves no trace of a job that waits or is dead', async () => {
    const dead = await at.add('drop')
    await at.inState(dead, 'failed')
    await at.bull.pause()
    const waiting = await at.add('work')
    for (const id of [dead, waiting]) expect((await remove(id)).status).toBe(200)
    expect(await at.bull.getJobCounts('waiting', 'failed')).toEqual({ waiting: 0, failed: 0 })
    await at.bull.resume()
  })
})

describe('who may', () => {
  it('is decided by role, and another tenant’s job does not exist', async () => {
    const id = await at.add('drop', 'x', 'T-TWO')
    await at.inState(id, 'failed')
    for (const verb of ['retry', 'cancel']) expect((await act(id, verb, {}, viewerKey)).status).toBe(403)
    expect((await at.ask(`/queues/chores/jobs/${id}`, { method: 'DELETE', key: operatorKey })).status).toBe(403)
    for (const verb of ['retry', 'cancel']) expect((await act(id, verb, {}, tenantKey)).status).toBe(404)
    expect((await at.ask(`/queues/chores/jobs/${id}`, { method: 'DELETE', key: tenantKey })).status).toBe(404)
    expect((await at.job(id)).state).toBe('failed')
    const mine = await at.add('drop', 'x', 'T-ONE')
    await at.inState(mine, 'failed')
    expect((await act(mine, 'retry', {}, tenantKey)).status).toBe(200)
  })

  it.each(['nobody', 'meta', 'dead-groups', '../x', 'repeat:x'])('finds no job %j', async (id) => {
    for (const verb of ['retry', 'cancel'])
      expect(await act(encodeURIComponent(id), verb)).toMatchObject({ status: 404, code: 'unknown-job' })
    const path = `/queues/chores/jobs/${encodeURIComponent(id)}`
    expect((await at.ask(path, { method: 'DELETE' })).status).toBe(404)
  })
})
