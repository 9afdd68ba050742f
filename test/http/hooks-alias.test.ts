import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue, defineWorker, drop } from '../../src/index.ts'
import { Janitor } from '../../src/jobs/janitor.ts'
import { createLogger } from '../../src/observe/log.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { jobIn, jobsOf } from '../harness/jobs.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId, mention, post } from '../harness/slack.ts'

/* The same Slack post under another event_id is the same event. */

const posts = defineQueue({ name: 'posts', on: ['slack:*'], payload: z.looseObject({ event: z.looseObject({}) }) })
const workers = [defineWorker(posts, () => drop('so that it is dead'))]

let redis: TestRedis
let app: TestApp
beforeAll(async () => {
  redis = await startRedis()
  app = await startTestApp(redis.url, { definitions: { queues: [posts, quarantine], workers, ignored: [] } })
})
afterAll(async () => {
  await app.close()
  await redis.stop()
})

let serial = 0
const time = () => {
  serial += 1
  return `${Math.floor(Date.now() / 1_000)}.${String(serial).padStart(6, '0')}`
}
const event = (more: object = {}) => ({
  type: 'message',
  user: 'U1',
  text: 'hi',
  channel: 'C1',
  event_ts: time(),
  ...more,
})
async function send(inner: object, id = freshId(), team = 'T1'): Promise<string | null> {
  const response = await post(app.url, mention(id, { team_id: team, event: inner }))
  expect(response.status).toBe(200)
  return response.headers.get('millrace-duplicate')
}

it('is one job, also when both come again', async () => {
  const post = event()
  const [first, second] = [freshId(), freshId()]
  expect(await send(post, first)).toBe('false')
  expect(await send(post, second)).toBe('true')
  expect(await send(post, first)).toBe('true')
  expect(await send(post, second)).toBe('true')
  const jobs = await jobsOf(app, 'posts')
  expect(jobs.filter(({ data }) => JSON.stringify(data).includes(post.event_ts))).toHaveLength(1)
})

it('is another event in another team, channel, type, at another time, or from somebody else', async () => {
  const post = event()
  expect(await send(post)).toBe('false')
  expect(await send(post, freshId(), 'T2')).toBe('false')
  for (const more of [{ channel: 'C2' }, { type: 'app_mention' }, { event_ts: time() }, { user: 'U2' }, { text: 'ho' }])
    expect(await send({ ...post, ...more })).toBe('false')
})

it('is not asked where event_ts is not the time of this delivery, or there is no channel', async () => {
  for (const odd of [{ event_ts: '1515449483000108' }, { event_ts: '1515449522.000016' }, { channel: undefined }]) {
    const post = event(odd)
    expect(await send(post)).toBe('false')
    expect(await send(post)).toBe('false')
  }
})

it('revives the job when it is dead, and is a new one when that has been removed', async () => {
  const post = event()
  const first = freshId()
  await send(post, first)
  await jobIn(app, 'posts', first, 'failed')
  expect(await send(post)).toBe('true')
  await jobIn(app, 'posts', first, 'failed')

  const log = createLogger({ logLevel: 'silent', logFormat: 'json' })
  await new Janitor({ queues: [posts], bull: app.bull, log }).clean(Date.now() + 100 * 86_400_000)
  expect(await send(post)).toBe('false')
})
