import { sign as octokitSign, verify as octokitVerify } from '@octokit/webhooks-methods'
import { verifySlackRequest } from '@slack/bolt/dist/receivers/verify-request.js'
import fc from 'fast-check'
import { Webhook } from 'standardwebhooks'
import Stripe from 'stripe'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { github } from '../../src/ingest/github.ts'
import { slack } from '../../src/ingest/slack.ts'
import { standard } from '../../src/ingest/standard.ts'
import { stripe } from '../../src/ingest/stripe.ts'
import {
  anySecret,
  body,
  compare,
  type Exception,
  holds,
  isLossy,
  type Judge,
  now,
  options,
  oursForThem,
  skew,
  type Wire,
} from '../harness/oracle.ts'

/*
 * Thousands of made-up requests, genuine ones and such as somebody has touched, judged by us and by the providers' own
 * libraries. Both say the same, but where theirs is laxer, or stricter by mistake. Each such place has a name below: where
 * it applies, our answer is the one that is asserted.
 */
const { DEFAULT_TOLERANCE, generateTestHeaderString, signature: stripeSignature } = new Stripe('sk_unused').webhooks

afterEach(() => vi.restoreAllMocks())

const lossy = (ours: boolean): Exception => ({ name: 'a body that is not UTF-8', applies: isLossy, ours })

describe('Slack and @slack/bolt', () => {
  const theirs: Judge = ({ body, headers, secret }) =>
    holds(() =>
      verifySlackRequest({
        signingSecret: secret,
        body: body.toString(),
        headers: {
          'x-slack-signature': headers['x-slack-signature'] ?? '',
          // As its receivers do.
          'x-slack-request-timestamp': Number(headers['x-slack-request-timestamp']),
        },
        nowMilliseconds: now * 1_000,
      }),
    )
  const stamp = ({ headers }: Wire) => headers['x-slack-request-timestamp'] ?? ''
  const exceptions: Exception[] = [
    // Bolt looks only at the past; Slack's documentation has the absolute value.
    { name: 'a time of the future', applies: (wire) => Number(stamp(wire)) > now + 300, ours: false },
    // Bolt makes a number of it and writes it anew: ' 1700000000', '1700000000.0', '01700000000', '1.7e9'.
    { name: 'a time in another spelling', applies: (wire) => !/^[1-9]\d{8,10}$/.test(stamp(wire)), ours: false },
    // Bolt splits at every = and looks at two parts.
    {
      name: 'junk behind the signature',
      applies: ({ headers }) => /^v0=[^=]*=/.test(headers['x-slack-signature'] ?? ''),
      ours: false,
    },
    lossy(false),
  ]
  const genuine = fc.record({ body, secret: anySecret, skew }).map(({ body, secret, skew }) => {
    const signing = { key: slack.prepare(secret), id: '', now: (now - skew) * 1_000, type: '' }
    const signed = slack.sign(body, signing)
    const headers = {
      'x-slack-request-timestamp': signed['X-Slack-Request-Timestamp'] ?? '',
      'x-slack-signature': signed['X-Slack-Signature'] ?? '',
    }
    return { body, headers, secret }
  })

  it('agree, but for what is named', async () => {
    expect(await compare(slack, genuine, theirs, exceptions)).toEqual([
      'a time in another spelling',
      'a time of the future',
      'junk behind the signature',
    ])
  })

  it('take what we sign', () => oursForThem(slack, anySecret, theirs))
})

describe('GitHub and @octokit/webhooks-methods', () => {
  const theirs: Judge = async ({ body, headers, secret }) => {
    try {
      return await octokitVerify(secret, body.toString(), headers['x-hub-signature-256'] ?? '')
    } catch {
      return false // it throws where something is empty
    }
  }
  const genuine = fc.record({ body, secret: anySecret }).map(({ body, secret }) => ({ body, secret, headers: {} }))
  const signed = fc.record({ wire: genuine, signer: fc.boolean() })

  it('agree, but for bodies that are not UTF-8', async () => {
    // Theirs signs asynchronously, so its signatures are made beforehand, in the same order.
    const wires = await Promise.all(
      fc.sample(signed, options).map(async ({ wire, signer }) => {
        const key = github.prepare(wire.secret)
        const signature = signer
          ? await octokitSign(wire.secret, wire.body.toString())
          : github.sign(wire.body, { key, id: '', now: 0, type: '' })['X-Hub-Signature-256']
        return { ...wire, headers: { 'x-hub-signature-256': signature ?? '' } }
      }),
    )
    expect(await compare(github, fc.constantFrom(...wires), theirs, [lossy(false)])).toEqual([])
  })

  it('take what we sign', () => oursForThem(github, anySecret, theirs))
})

describe('Stripe and stripe', () => {
  const theirs: Judge = ({ body, headers, secret }) =>
    holds(() =>
      stripeSignature?.verifyHeader(
        body,
        headers['stripe-signature'] ?? '',
        secret,
        DEFAULT_TOLERANCE,
        undefined,
        now * 1_000,
      ),
    )
  const header = ({ headers }: Wire) => headers['stripe-signature'] ?? ''
  const times = (wire: Wire) => [...header(wire).matchAll(/(?:^|,)t=([^,]*)/g)].map(([, time = '']) => time)
  const exceptions: Exception[] = [
    // stripe-node looks only at the past.
    { name: 'a time of the future', applies: (wire) => Number(times(wire)[0]) > now + 300, ours: false },
    // It takes the last one.
    { name: 't twice', applies: (wire) => times(wire).length > 1, ours: false },
    // parseInt: '1700000000abc', '1700000000.0', '1700000000=junk', ' 1700000000'.
    {
      name: 'a time in another spelling',
      applies: (wire) => times(wire).some((time) => !/^[1-9]\d{8,10}$/.test(time)),
      ours: false,
    },
    // It splits at every = and looks at two parts.
    { name: 'junk behind a signature', applies: (wire) => /(?:^|,)v1=[^,=]*=/.test(header(wire)), ours: false },
    // Stripe sends one or two; more than ten are work for nothing.
    { name: 'an eleventh signature', applies: (wire) => header(wire).split(',v1=').length > 11, ours: false },
    // White space in a part that it does not know is nothing to it; to us it is a header that somebody has put together.
    { name: 'white space', applies: (wire) => /\s/.test(header(wire)), ours: false },
    // Stricter by mistake: its TextDecoder drops a byte order mark that was signed.
    {
      name: 'a byte order mark',
      applies: ({ body }) => body.subarray(0, 3).toString('hex') === 'efbbbf',
      ours: true,
    },
    // Stricter by mistake: it throws where a signature is empty, and does not look at the others.
    { name: 'an empty signature', applies: (wire) => /(?:^|,)v1=?(?:,|$)/.test(header(wire)), ours: true },
    lossy(false),
  ]
  const stripeSecrets = anySecret.map((text) => `whsec_${text}`)
  const others = fc.array(
    fc.tuple(
      fc.constantFrom('v0', 'v1', 'v1', 'v1', 'v1', 'v1', 'x'),
      fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 60, maxLength: 65 }),
    ),
    { maxLength: 13, size: 'max' },
  )
  const genuine = fc
    .record({
      body,
      secret: stripeSecrets,
      skew,
      others,
      place: fc.nat(13),
      isBom: fc.nat(20),
      isTwice: fc.nat(20),
      isMany: fc.nat(20),
    })
    .map(({ body: plain, secret, skew, others, place, isBom, isTwice, isMany }): Wire => {
      const sent = isBom === 0 ? Buffer.concat([Buffer.from('\ufeff'), plain]) : plain
      const key = stripe.prepare(secret)
      const at = now - skew
      // Theirs would drop the mark in signing as well.
      const text =
        isBom === 0
          ? (stripe.sign(sent, { key, id: '', now: at * 1_000, type: '' })['Stripe-Signature'] ?? '')
          : generateTestHeaderString({ payload: sent.toString(), secret, timestamp: at })
      const [time = '', signature = ''] = text.split(',')
      const parts = others.map(([scheme, value]) => `${scheme}=${value}`)
      if (isMany === 0) parts.push(...Array(10).fill(`v1=${'0'.repeat(64)}`), signature)
      else parts.splice(place % (parts.length + 1), 0, signature)
      return {
        body: sent,
        secret,
        headers: { 'stripe-signature': [...(isTwice === 0 ? ['t=1'] : []), time, ...parts].join(',') },
      }
    })

  it('agree, but for what is named', async () => {
    expect(await compare(stripe, genuine, theirs, exceptions)).toEqual([
      'a byte order mark',
      'a time in another spelling',
      'a time of the future',
      'an eleventh signature',
      'an empty signature',
      'junk behind a signature',
      't twice',
      'white space',
    ])
  })

  it('take what we sign', () => oursForThem(stripe, stripeSecrets, theirs))
})

describe('Standard Webhooks and standardwebhooks', () => {
  const theirs: Judge = ({ body, headers, secret }) => {
    vi.spyOn(Date, 'now').mockReturnValue(now * 1_000)
    return holds(() => new Webhook(secret).verify(body, headers, { jsonParse: false }))
  }
  const value = ({ headers }: Wire, name: string) => headers[`webhook-${name}`] ?? ''
  const exceptions: Exception[] = [
    // Against the specification: with a dot it is open where the id ends.
    { name: 'an id with a dot', applies: (wire) => value(wire, 'id').includes('.'), ours: false },
    // parseInt: '1700000000abc', '1700000000.0', ' 1700000000', '01700000000'.
    {
      name: 'a time in another spelling',
      applies: (wire) => !/^[1-9]\d{8,10}$/.test(value(wire, 'timestamp')),
      ours: false,
    },
    // It splits at every comma and looks at two parts.
    { name: 'junk behind a signature', applies: (wire) => /v1,[^ ,]*,/.test(value(wire, 'signature')), ours: false },
    { name: 'an eleventh signature', applies: (wire) => value(wire, 'signature').split(' ').length > 10, ours: false },
    lossy(false),
  ]
  const bytes = fc.uint8Array({ minLength: 24, maxLength: 64 })
  const secrets = fc.tuple(bytes, fc.boolean()).map(([key, isNamed]) => {
    return `${isNamed ? 'whsec_' : ''}${Buffer.from(key).toString('base64')}`
  })
  const ids = fc.oneof(
    { weight: 6, arbitrary: fc.uuid().map((id) => `msg_${id}`) },
    { weight: 1, arbitrary: fc.string({ minLength: 1, maxLength: 80 }) },
  )
  const others = fc.array(
    fc.oneof(
      fc.uint8Array({ minLength: 30, maxLength: 33 }).map((key) => `v1,${Buffer.from(key).toString('base64')}`),
      fc.uint8Array({ minLength: 64, maxLength: 64 }).map((key) => `v1a,${Buffer.from(key).toString('base64')}`),
      fc.constantFrom('v2,x', 'v1', '', 'v1,'),
    ),
    { maxLength: 12 },
  )
  const genuine = fc
    .record({ body, secret: secrets, skew, id: ids, others, place: fc.nat(12), isJunk: fc.nat(20) })
    .map(({ body, secret, skew, id, others, place, isJunk }): Wire => {
      const at = now - skew
      const list = [...others]
      const signature = new Webhook(secret).sign(id, new Date(at * 1_000), body)
      list.splice(place % (list.length + 1), 0, isJunk === 0 ? `${signature},junk` : signature)
      const headers = { 'webhook-id': id, 'webhook-timestamp': String(at), 'webhook-signature': list.join(' ') }
      return { body, secret, headers }
    })

  it('agree, but for what is named', async () => {
    expect(await compare(standard, genuine, theirs, exceptions)).toEqual([
      'a time in another spelling',
      'an eleventh signature',
      'an id with a dot',
      'junk behind a signature',
    ])
  })

  it('take what we sign', () => oursForThem(standard, secrets, theirs))
})
