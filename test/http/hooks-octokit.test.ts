import { createRequire } from 'node:module'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue } from '../../src/index.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { jobsOf, storedText } from '../harness/jobs.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { githubHeaders, githubSecret, sendTo } from '../harness/signed.ts'
import { freshId } from '../harness/slack.ts'

/* Everything that GitHub sends, as far as its users have collected it: no payload is too odd to be stored as it is. */

type Example = { readonly name: string; readonly examples: readonly unknown[] }
const examples = createRequire(import.meta.url)('@octokit/webhooks-examples') as readonly Example[]
const payloads = examples.flatMap(({ name, examples }) => examples.map((payload) => ({ name, payload })))

const events = defineQueue({ name: 'all-of-github', payload: z.looseObject({}), on: ['github:*'] })

let redis: TestRedis
let app: TestApp
beforeAll(async () => {
  redis = await startRedis()
  app = await startTestApp(redis.url, {
    env: { GITHUB_WEBHOOK_SECRET: githubSecret },
    definitions: { queues: [events, quarantine], workers: [], ignored: [] },
  })
})
afterAll(async () => {
  await app?.close()
  await redis?.stop()
})

it('stores each of 329 payloads, to the byte', async () => {
  expect(payloads).toHaveLength(329)
  const sent = payloads.map(({ name, payload }, i) => {
    // Written in two ways: what is stored is what came, and not what JSON.stringify would make of it.
    return { name, payload, guid: freshId('g'), text: JSON.stringify(payload, null, i % 2 === 0 ? 0 : 2) }
  })
  const statuses = new Map<number, number>()
  for (const { name, guid, text } of sent) {
    const response = await sendTo(app.url, 'github', text, githubHeaders(text, { event: name, guid }))
    statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1)
    expect(await response.json()).toEqual({ id: guid, duplicate: false })
  }
  expect([...statuses]).toEqual([[202, 329]])

  expect(await jobsOf(app, 'quarantine')).toEqual([])
  const bull = app.bull.get('all-of-github')
  if (!bull) throw new Error('no queue')
  const jobs = new Map((await jobsOf(app, 'all-of-github')).map((job) => [job.meta.event, job]))
  expect(jobs.size).toBe(329)
  for (const { name, payload, guid, text } of sent) {
    const job = jobs.get(guid)
    const { action } = payload as { action?: string }
    expect(job).toMatchObject({ name: action === undefined ? name : `${name}.${action}`, meta: { source: 'github' } })
    expect(job?.data).toEqual(payload)
    expect(await storedText(bull, job?.id ?? '')).toBe(text)
  }
  // Nearly all of them are somebody's.
  const owned = [...jobs.values()].filter(({ meta }) => meta.tenant !== undefined)
  expect(owned).toHaveLength(329 - 24)
})
