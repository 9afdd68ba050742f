import { describe, expect, it } from 'vitest'
import quarantine from '../../queues/quarantine.ts'
import { loadConfig } from '../../src/config.ts'
import { openTools } from '../../src/tools.ts'
import { tenantKey, viewerKey } from '../harness/app.ts'
import { type Chores, chores, type Seen, useChores } from '../harness/operator.ts'
import type { TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* Waiting for what becomes of a job: in code and over HTTP. */

let redis: TestRedis
let at: Chores
let seen: Seen
useChores((made) => {
  redis = made.redis
  at = made.at
  seen = made.seen
})

describe('waitFor()', () => {
  it('gives the result of a job, whether it ends before, meanwhile or long ago', async () => {
    const id = await at.add('work', 'hello')
    expect(await at.app.waitFor(chores, id, '10s')).toEqual({ said: 'hello' })
    expect(await at.app.waitFor('chores', id, '10s')).toEqual({ said: 'hello' })
  })

  it('loses no end between looking and listening', async () => {
    const results = await Promise.all(
      Array.from({ length: 300 }, async (_, i) => at.app.waitFor(chores, await at.add('work', `n${i}`), '20s')),
    )
    expect(results).toEqual(Array.from({ length: 300 }, (_, i) => ({ said: `n${i}` })))
  })

  it('hears of an end at once, and not only at the next look', async () => {
    const id = await at.add('hang')
    await at.inState(id, 'active')
    // The listener is under way from the first wait on.
    await expect(at.app.waitFor(chores, id, '50ms')).rejects.toMatchObject({ code: 'wait-timeout' })
    const waits = Array.from({ length: 5 }, async () => {
      const end = await at.app.waitFor(chores, id, '10s')
      return [end, performance.now()] as const
    })
    await until(async () => String(await redis.client.client('LIST')).includes('cmd=xread'), 'it listens')
    const began = performance.now()
    seen.letGo()
    for (const [end, ended] of await Promise.all(waits)) {
      expect(end).toEqual({ said: 'x' })
      expect(ended - began).toBeLessThan(900)
    }
  })

  it('throws the reason of a job that is dead, at its last attempt only', async () => {
    const id = await at.add('fail', 'no luck')
    await expect(at.app.waitFor(chores, id, '10s')).rejects.toMatchObject({
      code: 'job-failed',
      message: expect.stringContaining('no luck'),
    })
    expect(seen.ran.get(id)).toBe(2)
  })

  it('throws when the time is over, and for what there is not', async () => {
    const id = await at.add('hang')
    await expect(at.app.waitFor(chores, id, '20ms')).rejects.toMatchObject({ code: 'wait-timeout' })
    await expect(at.app.waitFor(chores, 'nobody', '10s')).rejects.toMatchObject({ code: 'unknown-job' })
    await expect(at.app.waitFor(chores, 'meta', '10s')).rejects.toMatchObject({ code: 'unknown-job' })
    await expect(at.app.waitFor('nothing', id, '10s')).rejects.toMatchObject({ code: 'unknown-queue' })
    seen.letGo()
  })

  it('still hears of an end whose event was trimmed away', async () => {
    const id = await at.add('hang')
    await at.inState(id, 'active')
    const end = at.app.waitFor(chores, id, '20s')
    await at.bull.redis.hset(at.bull.toKey(id), 'returnvalue', '7', 'finishedOn', '1')
    expect(await end).toBe(7)
    seen.letGo()
  })

  it('hears of a job that is cancelled while it waits', async () => {
    await at.bull.pause()
    const id = await at.add('work')
    const end = at.app.waitFor(chores, id, '10s').catch((error: Error) => error.message)
    await at.post(`/queues/chores/jobs/${id}/cancel`, { reason: 'no' })
    expect(await end).toContain('cancelled: no')
    await at.bull.resume()
  })

  it('works for commands as well', async () => {
    const config = loadConfig({ REDIS_URL: redis.url, KEY_PREFIX: at.app.prefix })
    const tools = await openTools(config, { queues: [chores, quarantine], workers: [], ignored: [] })
    const { id } = await tools.enqueue(chores, { do: 'work', say: 'from a shell' })
    expect(await tools.waitFor(chores, id, '10s')).toEqual({ said: 'from a shell' })
    await tools.close()
  })

  it('closes its connection when nobody waits any more, and opens another', async () => {
    const listeners = async () => String(await redis.client.client('LIST')).match(/cmd=xread/g)?.length ?? 0
    const first = await at.add('hang')
    await at.app.waitFor(chores, first, '300ms').catch(() => {})
    await until(async () => (await listeners()) === 0, 'nobody reads', 15_000)
    const wait = at.app.waitFor(chores, first, '10s')
    await until(async () => (await listeners()) === 1, 'somebody reads')
    seen.letGo()
    await wait
  })
})

describe('GET …/{id}?wait=', () => {
  const get = (path: string, key = viewerKey) => at.ask(path, { key })

  it('answers when the job has ended', async () => {
    const id = await at.add('hang')
    await at.inState(id, 'active')
    const answer = get(`/queues/chores/jobs/${id}?wait=20s`)
    seen.letGo()
    expect(await (await answer).json()).toMatchObject({ id, state: 'completed', result: { said: 'x' } })
  })

  it('answers when the time is over', async () => {
    const id = await at.add('hang')
    await at.inState(id, 'active')
    expect(await (await get(`/queues/chores/jobs/${id}?wait=50ms`)).json()).toMatchObject({ id, state: 'active' })
    seen.letGo()
  })

  it.each(['61s', '2m', 'soon', '10', '-1s'])('refuses %s', async (wait) => {
    const id = await at.add('work')
    expect((await get(`/queues/chores/jobs/${id}?wait=${wait}`)).status).toBe(400)
  })

  it('does not wait for what the caller may not see', async () => {
    const id = await at.add('work', 'x', 'T-TWO')
    expect((await get(`/queues/chores/jobs/${id}?wait=60s`, tenantKey)).status).toBe(404)
    expect((await get('/queues/chores/jobs/nobody?wait=60s')).status).toBe(404)
  })

  it('does not hold up a stop', async () => {
    const id = await at.add('hang')
    await at.inState(id, 'active')
    const answer = get(`/queues/chores/jobs/${id}?wait=60s`).then(
      (response) => response.status,
      () => 'cut',
    )
    await until(async () => String(await redis.client.client('LIST')).includes('cmd=xread'), 'it waits')
    const began = performance.now()
    await at.app.stop(Date.now() + 3_000)
    expect(await answer).toBe(200)
    expect(performance.now() - began).toBeLessThan(3_500)
  })
})

describe('POST …/jobs?wait=', () => {
  const post = async (payload: unknown, wait: string) => {
    const response = await at.post(`/queues/chores/jobs?wait=${wait}`, payload, undefined)
    return { status: response.status, ...((await response.json()) as object) }
  }

  it('answers with what became of it', async () => {
    expect(await post({ do: 'work', say: 'hi' }, '10s')).toMatchObject({
      status: 201,
      duplicate: false,
      state: 'completed',
      result: { said: 'hi' },
    })
    expect(await post({ do: 'drop', say: 'never' }, '10s')).toMatchObject({
      status: 201,
      state: 'failed',
      reason: 'never',
    })
    expect(await post({ do: 'hang' }, '50ms')).toMatchObject({ status: 201, state: 'pending' })
    seen.letGo()
  })

  it('refuses a list, and stores nothing of it', async () => {
    await at.bull.pause()
    expect(await post([{ do: 'work' }], '10s')).toMatchObject({ status: 400 })
    expect(await post({ do: 'work' }, 'soon')).toMatchObject({ status: 400 })
    expect(await at.bull.getWaitingCount()).toBe(0)
    await at.bull.resume()
  })
})
