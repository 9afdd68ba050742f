import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue, defineWorker } from '../../src/index.ts'
import { describeJob, listJobs } from '../../src/jobs/inspect.ts'
import { apiOf } from '../harness/api.ts'
import { adminKey, startTestApp, type TestApp } from '../harness/app.ts'
import { githubPayloads } from '../harness/github.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { signIn } from '../harness/session.ts'
import { until } from '../harness/until.ts'

/* Compressed in the store, and whole for everybody who asks Millrace. */

const payload = z.record(z.string(), z.unknown())
const done = defineQueue({ name: 'done', payload })
const waiting = defineQueue({ name: 'waiting', payload })
const seen = new Map<string, unknown>()
const worker = defineWorker(done, (job) => {
  seen.set(job.id, job.payload)
  return null
})
const push = githubPayloads.find(({ name }) => name === 'push') ?? { json: '{}' }
const event = JSON.parse(push.json) as Record<string, unknown>

let redis: TestRedis
let app: TestApp
const { read } = apiOf(() => app)
beforeAll(async () => {
  redis = await startRedis()
  app = await startTestApp(redis.url, {
    definitions: { queues: [done, waiting, quarantine], workers: [worker], ignored: [] },
  })
})
afterAll(async () => {
  await app?.close()
  await redis?.stop()
})

const dataOf = (queue: string, id: string) => redis.client.hget(`${app.prefix}:${queue}:${id}`, 'data')
const bullOf = (queue: string) => {
  const bull = app.bull.get(queue)
  if (!bull) throw new Error(`no queue ${queue}`)
  return bull
}
async function boardShows(queue: string, id: string): Promise<unknown> {
  const { cookie } = await signIn(app.url, adminKey)
  const response = await fetch(`${app.url}/dashboard/queues/api/queues/${queue}/${id}`, { headers: { cookie } })
  return ((await response.json()) as { job: { data: unknown } }).job.data
}

it('a payload of GitHub takes a third of its bytes in Redis, and the worker gets it whole', async () => {
  const { id } = await app.enqueue(done, event)
  const stored = await dataOf('done', id)
  expect(stored).toMatch(/^\{"\$millrace":"lz4-1",/)
  expect(stored?.length).toBeLessThan(push.json.length * 0.35)
  await until(() => seen.has(id), 'the worker has it')
  expect(seen.get(id)).toEqual(event)
})

it('the API and Bull Board show it, and a search finds what is in it', async () => {
  const { id } = await app.enqueue(waiting, event)
  expect(await dataOf('waiting', id)).toMatch(/^\{"\$millrace":"lz4-1",/)
  expect(await read(`/queues/waiting/jobs/${id}`)).toMatchObject({ id, payload: event })
  expect(await boardShows('waiting', id)).toEqual(event)
  const list = await fetch(`${app.url}/dashboard/queues/api/queues?activeQueue=waiting&status=waiting`, {
    headers: { cookie: (await signIn(app.url, adminKey)).cookie },
  })
  expect(await list.text()).toContain('/collaborators{/collaborator}')
  const found = async (text: string) =>
    (await listJobs(bullOf('waiting'), { state: 'waiting', text })).jobs.map((job) => job.id)
  expect(await found('/collaborators{/collaborator}')).toContain(id)
  expect(await found('lz4-1')).not.toContain(id)
})

it('a payload that looks like an envelope reaches the worker as it was', async () => {
  const alike = { $millrace: 'lz4-1', bytes: 1, crc: 1, data: 'AAAA' }
  const { id } = await app.enqueue(done, alike)
  await until(() => seen.has(id), 'the worker has it')
  expect(seen.get(id)).toEqual(alike)
  expect((await describeJob(bullOf('done'), id)).payload).toEqual(alike)
})

it('a job that plain BullMQ added is read as ever', async () => {
  const job = await bullOf('done').add('github', event)
  await until(() => seen.has(job.id ?? ''), 'the worker has it')
  expect(seen.get(job.id ?? '')).toEqual(event)
})

it('one whose payload was damaged fails at once, says why, and is shown as it is stored', async () => {
  const bull = bullOf('done')
  const broken = { $millrace: 'lz4-1', bytes: 5_000, crc: 1, data: 'A'.repeat(400) }
  const job = await bull.add('github', broken)
  const dead = await until(async () => {
    const one = await describeJob(bull, job.id ?? '')
    return one.state === 'failed' ? one : undefined
  }, 'it is dead')
  expect(dead).toMatchObject({ attemptsMade: 1, payload: broken })
  expect(dead.reason).toContain('the stored payload is damaged')
  expect(await boardShows('done', job.id ?? '')).toEqual(broken)
})
