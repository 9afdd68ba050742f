import { Agent, request } from 'node:http'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { adminKey, startTestApp, type TestApp } from '../harness/app.ts'
import { jobsOfEvent } from '../harness/jobs.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId, mention, post, signedHeaders } from '../harness/slack.ts'
import { rawRequest, type Talk, talkTo } from '../harness/talk.ts'

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

/** The whole answer to some bytes, when the server has hung up. */
async function answerTo(bytes: Buffer, options: Parameters<typeof talkTo>[1] = {}): Promise<string> {
  const talk = talkTo(app.url, options)
  talk.send(bytes)
  return talk.gone
}

const length = (body: string) => String(Buffer.byteLength(body))
const since = (start: number) => Date.now() - start

describe('bytes that could be read in two ways', () => {
  const body = mention()
  const signed = signedHeaders(body)
  it.each([
    ['Content-Length and Transfer-Encoding', { 'content-length': length(body), 'transfer-encoding': 'chunked' }, body],
    ['two lengths', { 'content-length': [length(body), '0'] }, body],
    ['a length that is no number', { 'content-length': '+5' }, body],
    ['a chunk without a size', { 'transfer-encoding': 'chunked' }, `zz\r\n${body}\r\n0\r\n\r\n`],
    ['an unknown transfer encoding', { 'transfer-encoding': 'gzip' }, body],
    ['a header with a line folded into it', { 'x-a': 'a\r\n b', 'content-length': length(body) }, body],
  ])('are refused and the connection closed: %s', async (_name, framing, sent) => {
    const heard = await answerTo(rawRequest('POST', '/hooks/slack', { ...signed, ...framing }, sent))
    expect(heard).toMatch(/^HTTP\/1\.1 400 /)
    expect(heard).toMatch(/\r\nConnection: close\r\n/)
    expect(heard).toContain('"code":"malformed-request"')
    // One answer, not one for what a second reader would take for a second request.
    expect(heard.match(/HTTP\/1\.1/g)).toHaveLength(1)
    expect(await jobsOfEvent(app, 'slack-events', JSON.parse(body).event_id)).toEqual([])
  })

  it('are refused when they are no HTTP at all', async () => {
    expect(await answerTo(Buffer.from('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'latin1'))).toMatch(
      /^HTTP\/1\.1 400 /,
    )
  })

  it('are refused when there are more than 16 kB of headers', async () => {
    const heard = await answerTo(
      rawRequest('POST', '/hooks/slack', { ...signed, 'x-long': 'x'.repeat(17 * 1024) }, body),
    )
    expect(heard).toMatch(/^HTTP\/1\.1 431 /)
    expect(heard).toContain('"code":"headers-too-large"')
  })
})

describe('a header that is sent twice', () => {
  const body = mention()
  const { 'x-slack-signature': signature = '', 'x-slack-request-timestamp': timestamp = '' } = signedHeaders(body)
  it.each([
    ['signature', { 'x-slack-signature': [signature, signature], 'x-slack-request-timestamp': timestamp }],
    ['timestamp', { 'x-slack-signature': signature, 'x-slack-request-timestamp': [timestamp, timestamp] }],
    [
      'signature, in other case',
      { 'x-slack-signature': signature, 'X-SLACK-SIGNATURE': 'v0=0', 'x-slack-request-timestamp': timestamp },
    ],
  ])('proves nothing: %s', async (_name, headers) => {
    const framing = { 'content-length': length(body), connection: 'close' }
    const heard = await answerTo(rawRequest('POST', '/hooks/slack', { ...headers, ...framing }, body))
    expect(heard).toMatch(/^HTTP\/1\.1 401 /)
    // As it is for every other forgery: nothing of the cause.
    expect(heard.split('\r\n\r\n')[1]).toBe(await (await fetch(`${app.url}/hooks/slack`, { method: 'POST' })).text())
  })
})

describe('a body that is too large', () => {
  const closes = async (talk: Talk, start: number) => {
    const heard = await talk.gone
    expect(heard).toMatch(/^HTTP\/1\.1 413 /)
    expect(heard).toMatch(/\r\nConnection: close\r\n/i)
    expect(heard).toContain('"code":"too-large"')
    expect(since(start)).toBeLessThan(3_000)
  }

  it('is refused by its length, before any of it is sent', async () => {
    const start = Date.now()
    const talk = talkTo(app.url)
    talk.send(rawRequest('POST', '/hooks/slack', { 'content-length': String(1024 ** 2 + 1) }))
    await talk.hears(/413/)
    await closes(talk, start)
  })

  it('is refused as soon as it has come too far, without waiting for its end', async () => {
    const start = Date.now()
    const talk = talkTo(app.url)
    const chunk = Buffer.alloc(64 * 1024, 'x')
    const framed = Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n')])
    talk.send(rawRequest('POST', '/hooks/slack', { 'transfer-encoding': 'chunked' }))
    for (let sent = 0; sent <= 1024 ** 2; sent += chunk.length) talk.send(framed)
    await talk.hears(/413/)
    await closes(talk, start)
  })

  it('lets a sender who does not look up read the answer all the same', async () => {
    const body = Buffer.alloc(20 * 1024 ** 2, 'x')
    for (const headers of [{ 'content-length': String(body.length) }, { 'transfer-encoding': 'chunked' }])
      expect(await statusOf('/hooks/slack', { method: 'POST', headers }, body)).toBe(413)
  })
})

function statusOf(path: string, options: object, body: Buffer): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const sent = request(`${app.url}${path}`, options, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

describe.concurrent('a sender who takes his time', () => {
  const { 'x-slack-signature': signature = '', 'x-slack-request-timestamp': timestamp = '' } = signedHeaders(
    'x'.repeat(100),
  )
  const proof = { 'x-slack-signature': signature, 'x-slack-request-timestamp': timestamp }
  const head = rawRequest('POST', '/hooks/slack', { ...proof, 'content-length': '100' })
  const unfinishedHead = head.subarray(0, head.length - 2)
  const apiHead = rawRequest('POST', '/api/queues/slack-events/jobs', {
    authorization: `Bearer ${adminKey}`,
    'content-length': '100',
  })

  const slow: [string, Buffer, string, number][] = [
    // Limits of 4 s and 8 s, looked after each second; the rest is for a busy machine.
    ['the headers', unfinishedHead, 'x-a: b\r\n', 8_000],
    ['the first line', Buffer.from('POST /hooks/sl'), 'a', 8_000],
    ['the body', head, 'x', 13_000],
    ['the body of an API call', apiHead, ' ', 13_000],
  ]

  it.each(slow)('with %s is told so and hung up on', async (_name, start, drop, boundMs) => {
    const began = Date.now()
    const talk = talkTo(app.url)
    talk.send(start)
    talk.keepSending(drop, 250)
    const heard = await talk.gone
    expect(heard).toMatch(/^HTTP\/1\.1 408 [\s\S]*\r\nConnection: close\r\n/)
    expect(heard).toContain('"code":"request-timeout"')
    expect(since(began)).toBeLessThan(boundMs)
  })

  // Or holding on would be all that it takes to use up our connections.
  it.each(slow)('with %s and holds on all the same is cut off', async (_name, start, drop, boundMs) => {
    const talk = talkTo(app.url, { isStubborn: true })
    talk.send(start)
    talk.keepSending(drop, 250)
    const cut = talk.gone.then(() => 'cut off')
    const late = new Promise((resolve) => setTimeout(resolve, boundMs + 4_000, 'still connected').unref())
    expect(await Promise.race([cut, late])).toBe('cut off')
    talk.hangUp()
  })

  it('and says nothing at all is hung up on', async () => {
    const began = Date.now()
    expect(await talkTo(app.url).gone).toMatch(/^HTTP\/1\.1 408 |^$/)
    expect(since(began)).toBeLessThan(8_000)
  })
})

describe('a connection', () => {
  /** Sends requests one after the other and tells of each its status and whether it went over the first one's connection. */
  async function onOneConnection(
    requests: { path: string; method: string; body: string; headers: Record<string, string> }[],
  ) {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const seen: (string | number | undefined)[] = []
    for (const { path, method, body, headers } of requests)
      await new Promise<void>((resolve, reject) => {
        const sent = request(`${app.url}${path}`, { agent, method, headers }, (response) => {
          seen.push(`${response.statusCode} ${sent.reusedSocket ? 'same' : 'new'}`)
          response.resume()
          // The socket goes back to the agent in the turn after this.
          response.on('end', () => setImmediate(resolve))
        })
        sent.on('error', reject)
        sent.end(body)
      })
    agent.destroy()
    return seen
  }
  const hook = (body: string, headers: Record<string, string> = signedHeaders(body)) => ({
    path: '/hooks/slack',
    method: 'POST',
    body,
    headers,
  })

  it('is kept after answers of every kind', async () => {
    const get = (path: string) => ({ path, method: 'GET', body: '', headers: {} })
    expect(
      await onOneConnection([
        hook(mention()),
        hook(mention(), {}),
        hook('null'),
        get('/nowhere'),
        get('/api/queues'),
        hook(mention()),
      ]),
    ).toEqual(['200 new', '401 same', '200 same', '404 same', '401 same', '200 same'])
  })

  it('is not used again when a body was left unread in it', async () => {
    const packed = { ...signedHeaders('x'), 'content-encoding': 'gzip' }
    expect(await onOneConnection([hook('x', packed), hook(mention())])).toEqual(['415 new', '200 new'])
  })

  it('answers requests that come before it has answered the first, in their order', async () => {
    const ids = [freshId(), freshId(), freshId()]
    const talk = talkTo(app.url)
    talk.send(
      Buffer.concat(
        ids.map((id) => {
          const body = mention(id)
          return rawRequest('POST', '/hooks/slack', { ...signedHeaders(body), 'content-length': length(body) }, body)
        }),
      ),
    )
    const heard = await talk.hears(new RegExp(`${ids[2]}[\\s\\S]*\r\n\r\n`))
    expect([...heard.matchAll(/Millrace-Event: (\S+)/g)].map((match) => match[1])).toEqual(ids)
    talk.hangUp()
  })

  it('that breaks off in the middle of a body leaves nothing behind', async () => {
    const body = mention()
    const talk = talkTo(app.url)
    talk.send(
      rawRequest('POST', '/hooks/slack', { ...signedHeaders(body), 'content-length': length(body) }, body.slice(0, 50)),
    )
    talk.hangUp()
    await talk.gone
    expect((await post(app.url, mention())).status).toBe(200)
    expect(await jobsOfEvent(app, 'slack-events', JSON.parse(body).event_id)).toEqual([])
  })
})
