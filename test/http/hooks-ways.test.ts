import { ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { githubHeaders, githubSecret } from '../harness/signed.ts'
import { freshId, mention, signedHeaders } from '../harness/slack.ts'
import { rawRequest, talkTo } from '../harness/talk.ts'
import { until } from '../harness/until.ts'

/* A request that comes in one piece is answered without node:http, one in two pieces by it; nobody may see which. */

let redis: TestRedis
let app: TestApp
beforeAll(async () => {
  redis = await startRedis()
  const github = { type: 'github', secrets: [githubSecret] }
  app = await startTestApp(redis.url, {
    env: {
      BODY_LIMIT: '4000',
      SOURCES: JSON.stringify({ github, tight: { ...github, quota: { perHour: 1 } } }),
    },
  })
})
afterEach(() => void vi.restoreAllMocks())
afterAll(async () => {
  await app?.close()
  await redis?.stop()
})

type Sent = { path?: string; method?: string; headers: Record<string, string | string[]>; body: string }

const signed = (body: string, more: object = {}): Sent => ({ headers: { ...signedHeaders(body), ...more }, body })
const push = () => JSON.stringify({ repository: { owner: { login: 'octocat' } }, nonce: freshId() })
const pushed = (path: string, guid = freshId('g'), body = push()): Sent => ({
  path,
  headers: githubHeaders(body, { guid }),
  body,
})

/** The one answer, taken apart, with what tells two answers to two events from each other taken out. */
async function answerTo({ path = '/hooks/slack', method = 'POST', headers, body }: Sent, isWhole: boolean) {
  const byNode = vi.spyOn(ServerResponse.prototype, 'writeHead').mockClear()
  const handedOver = vi.spyOn(Readable.prototype, 'unshift').mockClear()
  const bytes = rawRequest(method, path, { ...headers, 'content-length': String(Buffer.byteLength(body)) }, body)
  const talk = talkTo(app.url)
  talk.send(isWhole ? bytes : bytes.subarray(0, 30))
  if (!isWhole) {
    await until(() => handedOver.mock.calls.length > 0, 'the first piece has come')
    talk.send(bytes.subarray(30))
  }
  const heard = await talk.hears(/\r\n\r\n/)
  talk.hangUp()
  const [head = '', text = ''] = heard.split('\r\n\r\n')
  const [, id = 'none'] = /Millrace-Event: (.*)/.exec(head) ?? []
  const [status, ...lines] = head.replaceAll(id, 'ID').split('\r\n')
  return {
    status,
    // A clock's values.
    headers: lines.map((line) => line.replace(/^(Date|Retry-After|RateLimit.*?): .*/i, '$1')),
    body: text.replaceAll(id, 'ID'),
    isByNode: byNode.mock.calls.length > 0,
  }
}

const again = freshId('g')
const repeated = push()

it.each<[string, string, () => Sent]>([
  ['stored', '200 OK', () => signed(mention())],
  ['stored, with an answer that has a body', '202 Accepted', () => pushed('/hooks/github')],
  ['stored, with a slash at the end', '202 Accepted', () => pushed('/hooks/github/')],
  ['a duplicate', '202 Accepted', () => pushed('/hooks/github', again, repeated)],
  ['quarantined', '200 OK', () => signed(`no JSON ${freshId()}`)],
  ['a challenge', '200 OK', () => signed(JSON.stringify({ type: 'url_verification', challenge: 'abc' }))],
  ['an unknown source', '404 Not Found', () => ({ path: '/hooks/nobody', headers: {}, body: '' })],
  ['no source', '404 Not Found', () => ({ path: '/hooks/', headers: {}, body: '' })],
  ['a path that goes up', '404 Not Found', () => ({ path: '/hooks/../healthz', headers: {}, body: '' })],
  ['a bad signature', '401 Unauthorized', () => signed(mention(), { 'x-slack-signature': 'v0=00' })],
  ['no signature', '401 Unauthorized', () => ({ headers: {}, body: '{}' })],
  ['two signatures', '401 Unauthorized', () => signed(mention(), { 'X-SLACK-signature': ['v0=00', 'v0=01'] })],
  ['as large as allowed', '200 OK', () => signed(mention(freshId(), { pad: '' }).padEnd(4_000))],
  ['over the quota', '429 Too Many Requests', () => pushed('/hooks/tight')],
])('is answered the same in one piece and in two: %s', async (name, status, make) => {
  // What makes the later ones duplicates, or too many.
  if (name === 'a duplicate' || name === 'over the quota') await answerTo(make(), true)
  const whole = await answerTo(make(), true)
  const split = await answerTo(make(), false)
  expect(whole).toEqual({ ...split, isByNode: false })
  expect(split).toMatchObject({ status: `HTTP/1.1 ${status}`, isByNode: true })
  if (name === 'a duplicate') expect(whole.headers).toContain('Millrace-Duplicate: true')
  if (name === 'quarantined') expect(whole.headers).toContain('Millrace-Quarantined: true')
})

it.each<[string, string, () => Sent]>([
  ['too large', '413 Payload Too Large', () => signed(mention().padEnd(4_001))],
  ['for nobody', '404 Not Found', () => ({ path: '/hooks/nobody', headers: {}, body: 'x' })],
])('keeps its connection when it is refused unread, but has been read: %s', async (_name, status, make) => {
  const whole = await answerTo(make(), true)
  const split = await answerTo(make(), false)
  const but = (headers: string[]) => headers.filter((line) => !/^(Connection|Keep-Alive):/.test(line)).sort()
  expect(whole).toMatchObject({ status: `HTTP/1.1 ${status}`, body: split.body, isByNode: false })
  expect(split).toMatchObject({ status: whole.status, isByNode: true })
  expect(but(whole.headers)).toEqual(but(split.headers))
  expect(whole.headers).toContain('Connection: keep-alive')
  expect(split.headers).toContain('Connection: close')
})

it.each<[string, string, Sent]>([
  ['another method', '405 Method Not Allowed', { method: 'PUT', headers: {}, body: 'x' }],
  ['a packed body', '415 Unsupported Media Type', { headers: { 'content-encoding': 'gzip' }, body: 'x' }],
])("is node:http's in any case: %s", async (_name, status, sent) => {
  const whole = await answerTo(sent, true)
  expect(whole).toMatchObject({ status: `HTTP/1.1 ${status}`, isByNode: true })
  expect(await answerTo(sent, false)).toEqual(whole)
})

it('is stored once, whichever way it comes again', async () => {
  const body = mention()
  const outcomes: (string | undefined)[] = []
  for (const isWhole of [true, false, true])
    outcomes.push((await answerTo(signed(body), isWhole)).headers.find((line) => line.startsWith('Millrace-Duplicate')))
  expect(outcomes).toEqual(['Millrace-Duplicate: false', 'Millrace-Duplicate: true', 'Millrace-Duplicate: true'])
})
