import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue, defineWorker, drop } from '../../src/index.ts'
import { Janitor } from '../../src/jobs/janitor.ts'
import { createLogger } from '../../src/observe/log.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* Finished jobs go when their time is over, also in a queue where nothing happens any more. */

const visits = defineQueue({
  name: 'visits',
  payload: z.object({ by: z.string(), ok: z.boolean() }),
  dedupe: { by: (visit) => visit.by, within: '24h' },
  keep: { completed: { age: '1h' }, dead: { age: '2h' } },
})
const worker = defineWorker(visits, ({ payload }) => (payload.ok ? 'done' : drop('not welcome')))

let redis: TestRedis
let app: TestApp
let janitor: Janitor
beforeAll(async () => {
  redis = await startRedis()
  app = await startTestApp(redis.url, { definitions: { queues: [visits, quarantine], workers: [worker], ignored: [] } })
  janitor = new Janitor({
    queues: [visits],
    bull: app.bull,
    log: createLogger({ logLevel: 'silent', logFormat: 'json' }),
  })
})
afterAll(async () => {
  await app.close()
  await redis.stop()
})

const hourMs = 3_600_000
const key = (name: string) => `${app.prefix}:visits:${name}`
const finished = (set: string, id: string) => until(() => redis.client.zscore(key(set), id), `it is ${set}`)

it('keeps them until then, and removes them after', async () => {
  const done = await app.enqueue(visits, { by: 'ada', ok: true })
  const dead = await app.enqueue(visits, { by: 'eve', ok: false })
  await finished('completed', done.id)
  await finished('failed', dead.id)

  await janitor.clean()
  expect(await redis.client.exists(key(done.id), key(dead.id))).toBe(2)

  await janitor.clean(Date.now() + 1.5 * hourMs)
  expect(await redis.client.exists(key(done.id))).toBe(0)
  expect(await redis.client.zcard(key('completed'))).toBe(0)
  expect(await redis.client.exists(key(dead.id))).toBe(1)

  await janitor.clean(Date.now() + 2.5 * hourMs)
  expect(await redis.client.exists(key(dead.id))).toBe(0)
})

it('leaves known what is done, and forgets what was never done', async () => {
  expect(await app.enqueue(visits, { by: 'ada', ok: true })).toMatchObject({ duplicate: true })
  expect(await app.enqueue(visits, { by: 'eve', ok: false })).toMatchObject({ duplicate: false })
})

it('removes the oldest beyond the count of both kinds, and forgets the dead ones', async () => {
  const few = { completed: { ageMs: hourMs, count: 2 }, dead: { ageMs: hourMs, count: 1 } }
  const strict = new Janitor({
    queues: [{ ...visits, keep: few }],
    bull: app.bull,
    log: createLogger({ logLevel: 'silent', logFormat: 'json' }),
  })
  const add = async (by: string, ok: boolean) => {
    const { id } = await app.enqueue(visits, { by, ok })
    await finished(ok ? 'completed' : 'failed', id)
    return id
  }
  const done = [await add('d1', true), await add('d2', true), await add('d3', true)]
  const dead = [await add('f1', false), await add('f2', false)]

  await strict.clean()
  expect(await redis.client.zrange(key('completed'), '0', '-1')).toEqual(done.slice(1))
  expect(await redis.client.zrange(key('failed'), '0', '-1')).toEqual(dead.slice(1))
  expect(await redis.client.exists(...[...done, ...dead].map(key))).toBe(3)
  expect(await app.enqueue(visits, { by: 'd1', ok: true })).toMatchObject({ duplicate: true })
  expect(await app.enqueue(visits, { by: 'f1', ok: true })).toMatchObject({ duplicate: false })
})
