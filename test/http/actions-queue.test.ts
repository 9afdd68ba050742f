import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { operatorKey, tenantKey, viewerKey } from '../harness/app.ts'
import { choresWorker, startChores } from '../harness/operator.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'

/* Pause and resume, and methods that a path does not have. */

let redis: TestRedis
let at: Awaited<ReturnType<typeof startChores>>
let seen: ReturnType<typeof choresWorker>['seen']
beforeAll(async () => {
  redis = await startRedis()
  const made = choresWorker()
  seen = made.seen
  at = await startChores(redis.url, { worker: made.worker })
})
afterAll(async () => {
  await at?.app.close()
  await redis?.stop()
})

describe('pause', () => {
  type Answer = { status: number; pausedAt?: string; [field: string]: unknown }
  const act = async (verb: string, key = operatorKey, queue = 'chores'): Promise<Answer> => {
    const response = await at.post(`/queues/${queue}/${verb}`, undefined, key)
    return { ...((await response.json()) as Answer), status: response.status }
  }

  it('holds jobs back until resume, says who did it and what is there, and may be repeated', async () => {
    const running = await at.add('hang')
    await at.inState(running, 'active')
    const paused = await act('pause')
    expect(paused).toMatchObject({ status: 200, name: 'chores', paused: true, pausedBy: 'olga', waiting: 0, active: 1 })
    const waiting = await at.add('work')
    seen.letGo()
    await at.inState(running, 'completed')
    const again = await act('pause')
    expect(again).toMatchObject({ waiting: 1, active: 0, pausedAt: paused.pausedAt })
    expect((await at.job(waiting)).state).toBe('waiting')
    expect(await at.read('/queues/chores')).toMatchObject({ paused: true, pausedBy: 'olga', pausedAt: paused.pausedAt })
    expect(await act('resume')).toMatchObject({ status: 200, paused: false, pausedBy: null, pausedAt: null })
    await at.inState(waiting, 'completed')
    expect(await act('resume')).toMatchObject({ status: 200, paused: false })
  })

  it('is for operators of all tenants, and for queues that there are', async () => {
    for (const verb of ['pause', 'resume']) {
      expect(await act(verb, viewerKey)).toMatchObject({ status: 403, code: 'forbidden' })
      expect(await act(verb, tenantKey)).toMatchObject({ status: 403, code: 'forbidden' })
      expect(await act(verb, operatorKey, 'nothing')).toMatchObject({ status: 404, code: 'unknown-queue' })
    }
    expect(await at.bull.isPaused()).toBe(false)
  })
})

describe('another method', () => {
  it.each([
    ['PUT', '/queues', 'GET, HEAD'],
    ['DELETE', '/queues/chores', 'GET, HEAD'],
    ['PATCH', '/queues/chores/jobs', 'GET, HEAD, POST'],
    ['POST', '/queues/chores/jobs/x', 'DELETE, GET, HEAD'],
    ['GET', '/queues/chores/jobs/x/retry', 'POST'],
    ['GET', '/queues/chores/pause', 'POST'],
    ['POST', '/queues/chores/dead', 'GET, HEAD'],
    ['GET', '/redrive', 'POST'],
    ['POST', '/redrive/x', 'DELETE, GET, HEAD'],
    ['GET', '/replay', 'POST'],
    ['POST', '/inbox', 'GET, HEAD'],
  ])('%s %s is refused with what there is', async (method, path, allow) => {
    const response = await at.ask(path, { method })
    expect([response.status, response.headers.get('allow')]).toEqual([405, allow])
    expect(await response.json()).toMatchObject({ code: 'method-not-allowed' })
  })

  it('on a path that there is not is not found, and without a key unauthorized', async () => {
    expect((await at.ask('/nothing', { method: 'PUT' })).status).toBe(404)
    expect((await fetch(`${at.app.url}/api/queues`, { method: 'PUT' })).status).toBe(401)
  })
})
