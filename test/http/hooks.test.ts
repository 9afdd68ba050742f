import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { jobsOf, jobsOfEvent } from '../harness/jobs.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId, mention, post, signedHeaders, slackSecret } from '../harness/slack.ts'

let redis: TestRedis
let app: TestApp

beforeAll(async () => {
  redis = await startRedis()
  app = await startTestApp(redis.url, { env: { SLACK_SIGNING_SECRET: `${slackSecret},the-next-secret` } })
})
afterAll(async () => {
  await app?.close()
  await redis?.stop()
})

const form = 'application/x-www-form-urlencoded'
const send = (path: string, init: RequestInit = {}) => fetch(`${app.url}${path}`, { redirect: 'manual', ...init })

/** What an answer tells a sender; the date and the connection are of no interest. */
async function told(response: Response) {
  const { 'content-type': type, 'retry-after': wait, allow } = Object.fromEntries(response.headers)
  return { status: response.status, type, wait, allow, body: await response.text() }
}

describe('a genuine event', () => {
  it('is stored once before it is acknowledged, with an empty body', async () => {
    const id = freshId()
    const body = mention(id)
    const response = await post(app.url, body)
    expect(await told(response)).toEqual({ status: 200, body: '' })
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'content-length': '0',
      'millrace-event': id,
      'millrace-duplicate': 'false',
      'millrace-stored': 'queue',
    })
    const [job, ...others] = await jobsOfEvent(app, 'slack-events', id)
    expect(job).toMatchObject({
      name: 'app_mention',
      data: JSON.parse(body),
      meta: { source: 'slack', event: id, tenant: 'T061EG9R6' },
    })
    expect(others).toEqual([])
  })

  it('is stored once however often it is sent, with or without a retry header', async () => {
    const id = freshId()
    const retry = { headers: { 'x-slack-retry-num': '1', 'x-slack-retry-reason': 'http_timeout' } }
    const duplicates = []
    // The retry comes first: the delivery that it repeats may never have arrived.
    for (const options of [retry, {}, retry, { at: Math.floor(Date.now() / 1_000) - 200 }]) {
      const response = await post(app.url, mention(id), options)
      expect(response.status).toBe(200)
      duplicates.push(response.headers.get('millrace-duplicate'))
    }
    expect(duplicates).toEqual(['false', 'true', 'true', 'true'])
    expect(await jobsOfEvent(app, 'slack-events', id)).toHaveLength(1)
  })

  it.each(['application/json; charset=utf-8', 'APPLICATION/JSON', 'text/plain', ''])(
    'is taken with the content type %j',
    async (type) => {
      const id = freshId()
      const response = await post(app.url, Buffer.from(mention(id)), { type })
      expect(response.headers.get('millrace-event')).toBe(id)
      expect(await jobsOfEvent(app, 'slack-events', id)).toHaveLength(1)
    },
  )

  it('is taken with every live secret', async () => {
    for (const secret of [slackSecret, 'the-next-secret'])
      expect((await post(app.url, mention(), { secret })).status).toBe(200)
    expect((await post(app.url, mention(), { secret: 'the-one-before' })).status).toBe(401)
  })

  it.each([-298, 298])('is taken when its clock is %i s off', async (off) => {
    const at = Math.floor(Date.now() / 1_000) + off
    expect((await post(app.url, mention(), { at })).status).toBe(200)
  })

  it('of a slash command goes to its own queue', async () => {
    const trigger = freshId('1.2.')
    const body = new URLSearchParams({
      command: '/deploy',
      text: 'main',
      team_id: 'T1',
      trigger_id: trigger,
    }).toString()
    expect(await told(await post(app.url, body, { type: form }))).toEqual({ status: 200, body: '' })
    const [job] = await jobsOfEvent(app, 'slack-commands', trigger)
    expect(job).toMatchObject({ name: 'command.deploy', data: { command: '/deploy', text: 'main' } })
    expect(await jobsOfEvent(app, 'slack-events', trigger)).toEqual([])
  })

  it('is found behind a trailing slash and a query', async () => {
    const body = mention()
    const options = { method: 'POST', body, headers: signedHeaders(body) }
    expect((await send('/hooks/slack/', options)).status).toBe(200)
    expect((await send('/hooks/slack?from=slack', options)).headers.get('millrace-duplicate')).toBe('true')
  })
})

describe('a handshake', () => {
  const challenge = '3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P<script>'
  const verification = JSON.stringify({ type: 'url_verification', token: 'unused', challenge })

  it('is answered as plain text, and nothing is stored', async () => {
    const before = (await jobsOf(app, 'slack-events')).length + (await jobsOf(app, 'quarantine')).length
    const response = await post(app.url, verification)
    expect(await told(response)).toEqual({ status: 200, type: 'text/plain; charset=utf-8', body: challenge })
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    expect((await jobsOf(app, 'slack-events')).length + (await jobsOf(app, 'quarantine')).length).toBe(before)
  })

  it('without a signature gets nothing back', async () => {
    const response = await send('/hooks/slack', { method: 'POST', body: verification })
    expect(response.status).toBe(401)
    expect(await response.text()).not.toContain(challenge.slice(0, 20))
  })

  it('that checks TLS needs no signature, and nothing else in it is read', async () => {
    const before = (await jobsOf(app, 'slack-commands')).length
    const event = encodeURIComponent(JSON.stringify({ type: 'block_actions', trigger_id: freshId() }))
    for (const body of ['ssl_check=1&token=x', `ssl_check=1&command=%2Fdeploy&trigger_id=1.2.x&payload=${event}`]) {
      const response = await send('/hooks/slack', { method: 'POST', body, headers: { 'content-type': form } })
      expect(await told(response)).toEqual({ status: 200, body: '' })
      expect(response.headers.has('millrace-event')).toBe(false)
    }
    expect(await jobsOf(app, 'slack-commands')).toHaveLength(before)
  })

  it('that waits for options gets none, at once', async () => {
    const payload = JSON.stringify({ type: 'block_suggestion', team: { id: 'T1' }, value: 'se' })
    const response = await post(app.url, new URLSearchParams({ payload }).toString(), { type: form })
    expect(await told(response)).toMatchObject({
      status: 200,
      type: 'application/json; charset=utf-8',
      body: '{"options":[]}',
    })
  })
})

describe('a forgery', () => {
  const body = mention()
  const now = Math.floor(Date.now() / 1_000)
  const good = signedHeaders(body)
  const { 'x-slack-signature': signature = '', 'x-slack-request-timestamp': timestamp = '', ...plain } = good
  const forgeries: Record<string, Record<string, string>> = {
    'nothing signed': plain,
    'no signature': { ...plain, 'x-slack-request-timestamp': timestamp },
    'no timestamp': { ...plain, 'x-slack-signature': signature },
    'another secret': signedHeaders(body, { secret: 'guessed' }),
    'another body': signedHeaders(`${body} `),
    'another time': { ...good, 'x-slack-request-timestamp': String(now - 1) },
    stale: signedHeaders(body, { at: now - 302 }),
    future: signedHeaders(body, { at: now + 360 }),
    'far future': signedHeaders(body, { at: now + 3_600 }),
    'upper-case hex': { ...good, 'x-slack-signature': `v0=${signature.slice(3).toUpperCase()}` },
    truncated: { ...good, 'x-slack-signature': signature.slice(0, 40) },
    'a joined signature': { ...good, 'x-slack-signature': `${signature}, ${signature}` },
  }

  it('is refused with one message, whatever is wrong with it', async () => {
    const answers = await Promise.all(
      Object.values(forgeries).map(async (headers) => {
        const response = await send('/hooks/slack', { method: 'POST', body, headers })
        // Told not to come again, Slack would not: but after a rotation its next try is right.
        expect(response.headers.has('x-slack-no-retry')).toBe(false)
        return told(response)
      }),
    )
    expect(answers[0]).toMatchObject({ status: 401, type: 'application/problem+json' })
    expect(JSON.parse(answers[0]?.body ?? '')).toMatchObject({ status: 401, code: 'not-authentic' })
    for (const answer of answers) expect(answer).toEqual(answers[0])
    expect(await jobsOfEvent(app, 'slack-events', JSON.parse(body).event_id)).toEqual([])
  })
})

describe('a request that is none', () => {
  it.each(['nobody', '__proto__', 'constructor', 'toString', 'hasOwnProperty', 'Slack', 'slack/more', '%73lack', ''])(
    'goes to no source called %j: 404',
    async (name) => {
      const body = mention()
      const response = await send(`/hooks/${name}`, { method: 'POST', body, headers: signedHeaders(body) })
      expect(response.status).toBe(404)
      expect(await response.json()).toMatchObject({ status: 404, code: 'unknown-source' })
    },
  )

  it.each(['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])('is a %s: 405, and POST is named', async (method) => {
    const response = await send('/hooks/slack', { method })
    expect(response.status).toBe(405)
    expect(response.headers.get('allow')).toBe('POST')
    if (method !== 'HEAD') expect(await response.json()).toMatchObject({ code: 'method-not-allowed' })
  })

  it.each(['gzip', 'GZIP', 'deflate', 'br', 'identity, gzip'])('is encoded as %s: 415', async (encoding) => {
    const plain = Buffer.from(mention())
    const packed = gzipSync(plain)
    // Signed over either form: which one a sender means is exactly what cannot be known.
    for (const signed of [plain, packed]) {
      const response = await send('/hooks/slack', {
        method: 'POST',
        body: packed,
        headers: { ...signedHeaders(signed), 'content-encoding': encoding },
      })
      expect(response.status).toBe(415)
      expect(await response.json()).toMatchObject({ code: 'content-encoding' })
    }
  })

  it('may say that it is not encoded', async () => {
    expect((await post(app.url, mention(), { headers: { 'content-encoding': 'identity' } })).status).toBe(200)
  })

  it('is larger than the limit: 413; and at the limit it is not', async () => {
    const limit = 1024 ** 2
    const [fits, tooLarge] = [limit, limit + 1].map((size) => {
      const body = mention(freshId(), { filler: '' })
      return body.replace('"filler":""', `"filler":"${'x'.repeat(size - body.length)}"`)
    }) as [string, string]
    expect(Buffer.byteLength(fits)).toBe(limit)
    expect((await post(app.url, fits)).status).toBe(200)
    const response = await post(app.url, tooLarge)
    expect(response.status).toBe(413)
    expect(await response.json()).toMatchObject({ code: 'too-large' })
  })
})
