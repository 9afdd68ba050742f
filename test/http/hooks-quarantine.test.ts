import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue, defineWorker } from '../../src/index.ts'
import quarantineWorker from '../../workers/quarantine.ts'
import { adminKey, startTestApp, type TestApp } from '../harness/app.ts'
import { jobIn, jobsOf, jobsOfEvent } from '../harness/jobs.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId, mention, post } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

let redis: TestRedis
let app: TestApp

beforeAll(async () => {
  redis = await startRedis()
  app = await startTestApp(redis.url)
})
afterAll(async () => {
  await app?.close()
  await redis?.stop()
})

const form = 'application/x-www-form-urlencoded'
const event = (more: object) => mention(freshId(), more)
const deep = '['.repeat(100_000) + ']'.repeat(100_000)

type Kept = { source: string; event: string; reason: string; contentType: string | null; body: string }

describe('a genuine request that nobody can use', () => {
  it.each<[string, string | Buffer, string, RegExp]>([
    ['no JSON', 'hello', 'application/json', /not JSON/],
    ['null', 'null', 'application/json', /not a JSON object/],
    ['a list', '[1]', 'application/json', /not a JSON object/],
    ['a text', '"x"', 'application/json', /not a JSON object/],
    ['nothing', '', 'application/json', /not JSON/],
    ['a byte order mark alone', Buffer.from('efbbbf', 'hex'), 'application/json', /not JSON/],
    ['not UTF-8', Buffer.from('7b2261223a22fffe227d', 'hex'), 'application/json', /not UTF-8/],
    ['UTF-16, and says so', Buffer.from('\ufeff{}', 'utf16le'), 'application/json; charset=utf-16', /not UTF-8/],
    ['a NUL', '\0', 'application/json', /not JSON/],
    ['an unknown type', '{"type":"new_thing"}', 'application/json', /no known Slack request: type "new_thing"/],
    ['an event_callback without an event', '{"type":"event_callback"}', 'application/json', /without an event/],
    ['a team that is a number', event({ team_id: 7 }), 'application/json', /slack-events.*team_id/],
    ['a form with two payloads', 'payload=%7B%7D&payload=%7B%7D', form, /several payloads/],
    ['a form with nothing known', 'a=1', form, /without command or payload/],
    ['100,000 levels', deep, 'application/json', /./],
    ['100,000 levels in the type', `{"type":${deep}}`, 'application/json', /./],
    ['as much as the limit allows', 'x'.repeat(1024 ** 2), 'text/plain', /./],
  ])('gets its 2xx and ends among the dead letters, every byte of it: %s', async (_name, body, type, reason) => {
    const response = await post(app.url, body, { type })
    expect(response.status).toBe(200)
    expect(await response.text()).toBe('')
    expect(response.headers.get('millrace-duplicate')).toBe('false')
    expect(response.headers.get('millrace-stored')).toBe('queue')
    const id = response.headers.get('millrace-event') ?? ''

    const dead = await jobIn(app, 'quarantine', id, 'failed')
    const kept = dead.data as Kept
    expect(Buffer.from(kept.body, 'base64')).toEqual(Buffer.from(body))
    expect(kept).toMatchObject({ source: 'slack', event: id, contentType: type })
    expect(kept.reason).toMatch(reason)
    expect(dead.failedReason).toBe(kept.reason)
    expect(dead.attemptsMade).toBe(1)
    // Kept in one place: no other queue has a part of it.
    for (const queue of ['slack-events', 'slack-commands']) expect(await jobsOfEvent(app, queue, id)).toEqual([])
  })

  it('is kept once, although it is sent again', async () => {
    const body = `not JSON ${freshId()}`
    const at = Math.floor(Date.now() / 1_000)
    const answers = await Promise.all(Array.from({ length: 20 }, () => post(app.url, body, { at })))
    expect(answers.map(({ status }) => status)).toEqual(Array(20).fill(200))
    expect(answers.filter(({ headers }) => headers.get('millrace-duplicate') === 'false')).toHaveLength(1)
    const id = answers[0]?.headers.get('millrace-event') ?? ''
    expect(await jobsOfEvent(app, 'quarantine', id)).toHaveLength(1)
  })

  it('shows nothing of its headers', async () => {
    const response = await post(app.url, 'x', { headers: { cookie: 'session=abc', authorization: 'Bearer abc' } })
    const dead = await jobIn(app, 'quarantine', response.headers.get('millrace-event') ?? '', 'failed')
    expect(Object.keys(dead.data as object).sort()).toEqual([
      'body',
      'contentType',
      'event',
      'reason',
      'receivedAt',
      'source',
    ])
    expect(JSON.stringify(dead)).not.toMatch(/Bearer|session=|v0=/)
  })
})

describe('odd but readable', () => {
  it.each<[string, string]>([
    ['NUL and lone surrogates', ',"x":"\\u0000\\ud800 \\udc00"'],
    ['numbers past precision', ',"x":12345678901234567890'],
    ['__proto__', ',"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}}'],
    ['the same key again', ',"token":"last"'],
    ['a team with NUL and lone surrogates', ',"team_id":"T\\u0000\\ud800"'],
  ])('is stored as any other event: %s', async (_name, more) => {
    const id = freshId()
    const response = await post(app.url, mention(id).replace(/\}$/, `${more}}`))
    expect(response.status).toBe(200)
    expect(response.headers.get('millrace-event')).toBe(id)
    expect(await jobIn(app, 'slack-events', id, 'completed')).toMatchObject({ name: 'app_mention' })
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })

  // Whether 100,000 levels are odd or unreadable may be decided either way; but not by taking a whole queue's pages away.
  it('does not keep people from looking at the queue that it is in', async () => {
    const response = await post(app.url, mention().replace(/\}$/, `,"x":${deep}}`))
    expect(response.status).toBe(200)
    const event = response.headers.get('millrace-event') ?? ''
    const [queue, state] = await until(async () => {
      const finished = [['slack-events', 'completed'] as const, ['quarantine', 'failed'] as const]
      for (const [name, end] of finished)
        if ((await jobsOf(app, name, [end])).some(({ meta }) => meta.event === event)) return [name, end] as const
      return undefined
    }, 'it has been worked on')
    const [job] = await jobsOfEvent(app, queue, event)
    const headers = { authorization: `Bearer ${adminKey}` }
    const pages = [
      `/api/queues/${queue}/jobs?state=${state}`,
      `/api/queues/${queue}/jobs?state=${state}&text=lunch`,
      `/api/queues/${queue}/jobs/${job?.id}`,
      `/dashboard/queues/api/queues?activeQueue=${queue}&status=${state}&page=1&jobsPerPage=10`,
      `/dashboard/queues/api/queues/${queue}/${job?.id}`,
    ]
    const statuses = await Promise.all(
      pages.map(async (page) => (await fetch(`${app.url}${page}`, { headers })).status),
    )
    expect(statuses).toEqual(pages.map(() => 200))
  })
})

describe('an event of a type that no queue takes', () => {
  it('is kept as well, with its type and team', async () => {
    const mentions = defineQueue({ name: 'mentions', payload: z.looseObject({}), on: ['slack:app_mention'] })
    const own = await startTestApp(redis.url, {
      definitions: {
        queues: [mentions, quarantine],
        workers: [defineWorker(mentions, () => null), quarantineWorker],
        ignored: [],
      },
    })
    try {
      const id = freshId()
      const response = await post(own.url, mention(id, { event: { type: 'team_join' } }))
      expect(response.status).toBe(200)
      expect(response.headers.get('millrace-event')).toBe(id)
      const dead = await jobIn(own, 'quarantine', id, 'failed')
      expect(dead).toMatchObject({ name: 'team_join', failedReason: 'no queue takes team_join' })
      expect(dead.meta).toEqual({ source: 'slack', event: id, tenant: 'T061EG9R6' })
      expect(await jobsOf(own, 'mentions')).toEqual([])
    } finally {
      await own.close()
    }
  })
})
