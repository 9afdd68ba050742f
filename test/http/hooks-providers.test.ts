import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue, defineWorker } from '../../src/index.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { jobIn, jobsOf, jobsOfEvent, storedText } from '../harness/jobs.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import {
  githubHeaders,
  githubSecret,
  type Headers,
  hmacOf,
  sendTo,
  standardHeaders,
  standardSecret,
  stripeHeaders,
  stripeSecret,
} from '../harness/signed.ts'
import { freshId, mention, post } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

const publicKey = 'whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4='
const privateKey = 'whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=='
const sources = {
  github: { type: 'github', secrets: [githubSecret, 'the-next-secret'] },
  'github-two': { type: 'github', secrets: ['secret-of-two'], tenant: 'two' },
  'github-small': { type: 'github', secrets: [githubSecret], limit: '2kb' },
  stripe: { type: 'stripe', secrets: [stripeSecret] },
  'stripe-two': { type: 'stripe', secrets: ['whsec_two'], tenant: 'two' },
  standard: { type: 'standard', secrets: [standardSecret] },
  signed: { type: 'standard', secrets: [publicKey] },
  shop: {
    type: 'hmac',
    secrets: ['hush'],
    hmac: { header: 'X-Shop-Signature', encoding: 'base64', idHeader: 'X-Shop-Id', typeHeader: 'X-Shop-Topic' },
  },
}

let isBroken = false
const events = defineQueue({
  name: 'all-events',
  payload: z.looseObject({}),
  on: ['github:*', 'stripe:*', 'standard:*', 'hmac:*'],
  retry: { attempts: 1 },
})
const worker = defineWorker(events, () => {
  if (isBroken) throw new Error('broken')
})

let redis: TestRedis
let app: TestApp
beforeAll(async () => {
  redis = await startRedis()
  app = await startTestApp(redis.url, {
    env: { SOURCES: JSON.stringify(sources) },
    definitions: { queues: [events, quarantine], workers: [worker], ignored: [] },
  })
})
afterAll(async () => {
  await app?.close()
  await redis?.stop()
})

const send = (source: string, body: string | Buffer, headers: Headers) => sendTo(app.url, source, body, headers)

function shopHeaders(body: string | Buffer, id: string): Headers {
  return {
    'x-shop-signature': hmacOf('hush', [body], { encoding: 'base64' }),
    'x-shop-id': id,
    'x-shop-topic': 'orders.paid',
  }
}

/** A genuine event with the id, of each provider that answers with JSON. */
const genuine: Record<string, (id: string, at?: number) => { body: string; headers: Headers; name: string }> = {
  github: (id) => {
    const body = JSON.stringify({ action: 'opened', repository: { owner: { login: 'octocat' } } })
    return { body, headers: githubHeaders(body, { event: 'issues', guid: id }), name: 'issues.opened' }
  },
  stripe: (id, at) => {
    const body = JSON.stringify({ id, object: 'event', type: 'invoice.paid', account: 'acct_1' }, null, 2)
    return { body, headers: stripeHeaders(body, at ? { at } : {}), name: 'invoice.paid' }
  },
  standard: (id, at) => {
    const body = JSON.stringify({ type: 'user.created', data: {} })
    return { body, headers: standardHeaders(body, { id, ...(at ? { at } : {}) }), name: 'user.created' }
  },
  signed: (id) => {
    const body = JSON.stringify({ type: 'user.created', data: {} })
    return { body, headers: standardHeaders(body, { id, secret: privateKey, prefix: 'svix' }), name: 'user.created' }
  },
  shop: (id) => ({ body: '{"total":"1.00"}', headers: shopHeaders('{"total":"1.00"}', id), name: 'orders.paid' }),
}

describe.each(Object.keys(genuine))('an event of %s', (source) => {
  const make = genuine[source] as (typeof genuine)[string]

  it('is stored before it is acknowledged, and once however often it is sent', async () => {
    const id = freshId('e')
    const { body, headers, name } = make(id)
    for (const duplicate of [false, true, true]) {
      const response = await send(source, body, headers)
      expect(response.status).toBe(202)
      expect(Object.fromEntries(response.headers)).toMatchObject({
        'content-type': 'application/json',
        'millrace-event': id,
        'millrace-duplicate': String(duplicate),
        'millrace-stored': 'queue',
      })
      expect(await response.json()).toEqual({ id, duplicate })
    }
    const [job, ...others] = await jobsOfEvent(app, 'all-events', id)
    expect(others).toEqual([])
    expect(job).toMatchObject({ name, data: JSON.parse(body), meta: { source, event: id } })
    const bull = app.bull.get('all-events')
    expect(bull && (await storedText(bull, job?.id ?? ''))).toBe(body)
  })

  it('is refused when it was touched, with one message for all causes', async () => {
    const id = freshId('e')
    const { body, headers } = make(id)
    const signature = Object.keys(headers).find((name) => name.includes('signature')) ?? ''
    const answers = await Promise.all(
      [
        [`${body} `, headers],
        [body, { ...headers, [signature]: `${headers[signature]}x` }],
        [body, { ...headers, [signature]: '' }],
        [body, Object.fromEntries(Object.entries(headers).filter(([name]) => name !== signature))],
      ].map(async ([body, headers]) => {
        const response = await send(source, body as string, headers as Headers)
        return { status: response.status, body: await response.text() }
      }),
    )
    expect(JSON.parse(answers[0]?.body ?? '')).toMatchObject({ status: 401, code: 'not-authentic' })
    for (const answer of answers) expect(answer).toEqual(answers[0])
    expect(await jobsOfEvent(app, 'all-events', id)).toEqual([])
  })

  it('that cannot be read is acknowledged all the same, and kept with its bytes', async () => {
    const { headers: plain } = make(freshId('e'))
    const bytes = Buffer.from(`\xff\xfe not JSON ${freshId()}`, 'latin1')
    const id = freshId('e')
    const signed: Record<string, () => Headers> = {
      github: () => githubHeaders(bytes, { guid: id }),
      stripe: () => stripeHeaders(bytes),
      standard: () => standardHeaders(bytes, { id }),
      signed: () => standardHeaders(bytes, { id, secret: privateKey }),
      shop: () => shopHeaders(bytes, id),
    }
    const headers = signed[source]?.()
    const response = await send(source, bytes, headers ?? plain)
    expect(response.status).toBe(202)
    const { id: stored } = (await response.json()) as { id: string }
    const [job] = await jobsOfEvent(app, 'quarantine', stored)
    expect(job?.data).toMatchObject({ source, reason: 'the body is not UTF-8', body: bytes.toString('base64') })
  })
})

describe('a clock', () => {
  it.each(['stripe', 'standard'])('of %s may be wrong by five minutes', async (source) => {
    const make = genuine[source] as (typeof genuine)[string]
    const now = Math.floor(Date.now() / 1_000)
    for (const [off, status] of [
      [-298, 202],
      [298, 202],
      [-302, 401],
      [310, 401],
    ] as const) {
      const { body, headers } = make(freshId('e'), now + off)
      expect([off, (await send(source, body, headers)).status]).toEqual([off, status])
    }
  })
})

describe('a delivery that GitHub’s user sends again', () => {
  it('revives the dead job of the same GUID', async () => {
    isBroken = true
    const guid = freshId('g')
    const body = '{"zen":"again"}'
    try {
      await send('github', body, githubHeaders(body, { event: 'ping', guid }))
      const dead = await jobIn(app, 'all-events', guid, 'failed')
      isBroken = false
      const again = await send('github', body, githubHeaders(body, { event: 'ping', guid }))
      expect([again.status, await again.json()]).toEqual([202, { id: guid, duplicate: true }])
      const done = await jobIn(app, 'all-events', guid, 'completed')
      expect(done.id).toBe(dead.id)
      expect(await jobsOfEvent(app, 'all-events', guid)).toHaveLength(1)
    } finally {
      isBroken = false
    }
  })
})

describe('sources', () => {
  it('of one type have their own secrets, tenants and events', async () => {
    const guid = freshId('g')
    const body = '{"organization":{"login":"octo-org"}}'
    const [one, two] = [githubSecret, 'secret-of-two'].map((secret) => githubHeaders(body, { secret, guid }))
    expect((await send('github', body, two ?? {})).status).toBe(401)
    expect((await send('github-two', body, one ?? {})).status).toBe(401)
    // The same GUID is another event elsewhere.
    for (const [source, headers] of [
      ['github', one],
      ['github-two', two],
    ] as const)
      expect(await (await send(source, body, headers ?? {})).json()).toEqual({ id: guid, duplicate: false })
    const metas = (await jobsOfEvent(app, 'all-events', guid)).map(({ meta }) => meta)
    expect(metas.sort((a, b) => String(a.source).localeCompare(String(b.source)))).toEqual([
      { source: 'github', event: guid, tenant: 'octo-org' },
      { source: 'github-two', event: guid, tenant: 'two' },
    ])

    const event = JSON.stringify({ id: freshId('evt_'), type: 'a.b', account: 'acct_1' })
    expect((await send('stripe-two', event, stripeHeaders(event))).status).toBe(401)
    const answer = await send('stripe-two', event, stripeHeaders(event, { secret: 'whsec_two' }))
    const { id } = (await answer.json()) as { id: string }
    expect(await jobsOfEvent(app, 'all-events', id)).toMatchObject([{ meta: { source: 'stripe-two', tenant: 'two' } }])
  })

  it('take each of their live secrets', async () => {
    for (const [secret, status] of [
      [githubSecret, 202],
      ['the-next-secret', 202],
      ['the-one-before', 401],
    ] as const)
      expect((await send('github', '{}', githubHeaders('{}', { secret }))).status).toBe(status)
  })

  it('refuse a signature that is sent twice', async () => {
    const headers = githubHeaders('{}')
    const signature = headers['x-hub-signature-256'] ?? ''
    const twice = new Headers(headers)
    twice.append('x-hub-signature-256', signature)
    const response = await fetch(`${app.url}/hooks/github`, { method: 'POST', body: '{}', headers: twice })
    expect(response.status).toBe(401)
  })

  it('store what no queue takes, and what has no event name, in quarantine', async () => {
    const headers = githubHeaders('{}')
    const { 'x-github-event': _event, ...nameless } = headers
    const response = await send('github', '{}', nameless)
    expect(response.status).toBe(202)
    const { id } = (await response.json()) as { id: string }
    expect(await jobsOfEvent(app, 'quarantine', id)).toMatchObject([{ data: { reason: 'no X-GitHub-Event' } }])
    // Slack has no queue here.
    const mentioned = freshId()
    expect((await post(app.url, mention(mentioned))).status).toBe(200)
    expect(await jobsOfEvent(app, 'quarantine', mentioned)).toHaveLength(1)
  })
})

describe('the size of a body', () => {
  const ofSize = (size: number) => `{"filler":"${'x'.repeat(size - 13)}"}`

  it('may be as large as the source says, whatever its provider sends', async () => {
    for (const [size, status] of [
      [2_048, 202],
      [2_049, 413],
    ] as const) {
      const body = ofSize(size)
      expect(Buffer.byteLength(body)).toBe(size)
      const response = await send('github-small', body, githubHeaders(body))
      expect(response.status).toBe(status)
      const answer = (await response.json()) as object
      if (status === 413) expect(answer).toMatchObject({ code: 'too-large' })
    }
  })

  it('may be 20 MB from GitHub, but not from Stripe', async () => {
    const body = ofSize(20 * 1024 ** 2)
    const guid = freshId('g')
    const response = await send('github', body, githubHeaders(body, { guid }))
    expect([response.status, await response.json()]).toEqual([202, { id: guid, duplicate: false }])
    const job = await until(
      async () => (await jobsOf(app, 'all-events')).find(({ meta }) => meta.event === guid),
      'job',
    )
    const bull = app.bull.get('all-events')
    expect(bull && (await storedText(bull, job.id)) === body).toBe(true)
    const tooLarge = ofSize(1024 ** 2 + 1)
    expect((await send('stripe', tooLarge, stripeHeaders(tooLarge))).status).toBe(413)
    expect((await send('github', tooLarge, githubHeaders(tooLarge))).status).toBe(202)
  })
})
