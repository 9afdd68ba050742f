import { createSecretKey } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { stripe } from '../../src/ingest/stripe.ts'
import { eventOf, type HookHeaders, hookRequest } from '../harness/hook-request.ts'
import { hmacOf, stripeSecret } from '../harness/signed.ts'

/** stripe-node's own fixture; the signatures were made with it, with node:crypto and with Python. */
const time = 1_492_774_577
const fixture = '{\n  "id": "evt_test_webhook",\n  "object": "event"\n}'
const good = 'c2f890decbc5ede7c5060bb9a6d31e0626a4342bacb9aeae2adb1bcea72f9812'
const withOld = '7e81cd6c37b0442827e05d7e713cc29fde84589e6d318b9af88e724b31006a95'

const mac = (body: string | Buffer, over: string | number = time, secret = stripeSecret) =>
  hmacOf(secret, [`${over}.`, body])

function verify(
  body: string | Buffer,
  header: string | string[] | undefined,
  { now = time, secrets = [stripeSecret] } = {},
) {
  const keys = secrets.map((secret) => createSecretKey(secret, 'utf8'))
  return stripe.verify(hookRequest(body, { 'stripe-signature': header }, now), keys)
}

describe('proof', () => {
  it("takes the fixture of Stripe's library at its time, and refuses it today", () => {
    expect(verify(fixture, `t=${time},v1=${good}`)).toBe(0)
    expect(verify(`${fixture} `, `t=${time},v1=${good}`)).toBeUndefined()
    expect(verify(fixture, `t=${time},v1=${good}`, { now: Math.floor(Date.now() / 1_000) })).toBeUndefined()
  })

  it('has the whole secret as key, not what is encoded in it', () => {
    const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
    const [key] = [stripe.prepare(secret)]
    const header = (value: string) => hookRequest('{}', { 'stripe-signature': `t=${time},v1=${value}` }, time)
    expect(stripe.verify(header(mac('{}', time, secret)), [key])).toBe(0)
    const decoded = hmacOf(Buffer.from(secret.slice(6), 'base64'), [`${time}.{}`])
    expect(stripe.verify(header(decoded), [key])).toBeUndefined()
  })

  it.each([
    ['nothing', ''],
    ['a byte order mark', 'efbbbf7b2261223a317d'],
    ['what is not UTF-8', '7b2261223a22fffe227d'],
    ['a tail of CR LF', '7b2261223a317d0d0a'],
  ])('is over the bytes: %s', (_name, hex) => {
    const body = Buffer.from(hex, 'hex')
    expect(verify(body, `t=${time},v1=${mac(body)}`)).toBe(0)
    expect(verify(Buffer.concat([body, Buffer.from(' ')]), `t=${time},v1=${mac(body)}`)).toBeUndefined()
  })

  it('does not take one invalid byte sequence for another', () => {
    const header = `t=${time},v1=${mac(Buffer.from([0xff, 0xfe]))}`
    for (const body of [Buffer.from([0xfe, 0xff]), Buffer.from('\ufffd\ufffd')])
      expect(verify(body, header)).toBeUndefined()
  })

  const other = '0'.repeat(64)
  it.each([
    ['several v1, the first', `t=${time},v1=${good},v1=${other}`],
    ['several v1, the last', `t=${time},v1=${other},v1=${good}`],
    ['ten v1, the last', `t=${time}${`,v1=${other}`.repeat(9)},v1=${good}`],
    ['v0 beside it', `t=${time},v1=${good},v0=${other}`],
    ['v0 before it', `t=${time},v0=${other},v1=${good}`],
    ['a version that is not known', `t=${time},v2=x,v1=${good}`],
    ['another order', `v1=${good},t=${time}`],
    ['a broken v1 beside it', `t=${time},v1=short,v1=,v1=${good}`],
    ['empty parts', `,t=${time},,v1=${good},`],
  ])('takes %s', (_name, header) => {
    expect(verify(fixture, header)).toBe(0)
  })

  it.each([
    ['v0 only', `t=${time},v0=${good}`],
    ['a space after the comma', `t=${time}, v1=${good}`],
    ['a space before t', ` t=${time},v1=${good}`],
    ['a semicolon', `t=${time};v1=${good}`],
    ['t twice, the same', `t=${time},t=${time},v1=${good}`],
    ['t twice, the genuine last', `t=${time - 5},t=${time},v1=${good}`],
    ['t twice, the genuine first', `t=${time},t=${time - 5},v1=${good}`],
    ['t twice, one empty', `t=,t=${time},v1=${good}`],
    ['no t', `v1=${good}`],
    ['only t', `t=${time}`],
    ['T', `T=${time},v1=${good}`],
    ['V1', `t=${time},V1=${good}`],
    ['upper-case hex', `t=${time},v1=${good.toUpperCase()}`],
    ['junk behind the signature', `t=${time},v1=${good}=junk`],
    ['= behind the signature', `t=${time},v1=${good}=`],
    ['junk behind the time', `t=${time}=junk,v1=${good}`],
    ['white space behind it', `t=${time},v1=${good} `],
    ['one digit less', `t=${time},v1=${good.slice(0, -1)}`],
    ['one digit more', `t=${time},v1=${good}0`],
    ['no hex', `t=${time},v1=${'z'.repeat(64)}`],
    ['wide characters', `t=${time},v1=${'é'.repeat(64)}`],
    ['no signature', `t=${time},v1=`],
    ['no version', `t=${time},${good}`],
    ['nothing', ''],
    ['commas', ',,,'],
    ['itself, joined', `t=${time},v1=${good}, t=${time},v1=${good}`],
    ['an eleventh v1', `t=${time}${`,v1=${other}`.repeat(10)},v1=${good}`],
    ['__proto__', `__proto__=${time},v1=${good}`],
  ])('refuses %s, without throwing', (_name, header) => {
    expect(verify(fixture, header)).toBeUndefined()
  })

  it('refuses a header that is missing or was sent twice', () => {
    const header = `t=${time},v1=${good}`
    expect(verify(fixture, undefined)).toBeUndefined()
    expect(verify(fixture, [header, header])).toBeUndefined()
  })

  it.each([
    '1.492774577e9',
    '1492774577e0',
    '0x58f9f7b1',
    '+1492774577',
    '1492774577.0',
    '1492774577abc',
    ' 1492774577',
    '1492774577 ',
    '01492774577',
    '１４９２７７４５７７',
    '-1',
    '-1492774577',
    '0',
    'NaN',
    'Infinity',
    '',
  ])('refuses the timestamp %j, whichever spelling was signed', (timestamp) => {
    const lenient = [Number(timestamp), Number.parseFloat(timestamp)].find(Number.isFinite) ?? time
    for (const over of [timestamp, String(lenient), '']) {
      const header = `t=${timestamp},v1=${mac('{}', over)}`
      expect(verify('{}', header, { now: lenient })).toBeUndefined()
    }
  })

  it.each([-300, -298, 0, 298, 300])('takes a clock that is %i s off, and tells by how much', (off) => {
    expect(verify(fixture, `t=${time},v1=${good}`, { now: time + off })).toBe(off)
  })

  it.each([-3_600, -302, -301, 301, 302, 3_600, 315_360_000])('refuses a clock that is %i s off', (off) => {
    expect(verify(fixture, `t=${time},v1=${good}`, { now: time + off })).toBeUndefined()
  })

  it('takes each of several live secrets, and no longer one that was removed', () => {
    const [header, old] = [`t=${time},v1=${good}`, `t=${time},v1=${withOld}`]
    for (const secrets of [
      ['whsec_old', stripeSecret],
      [stripeSecret, 'whsec_old'],
    ])
      for (const one of [header, old, `${header},v1=${withOld}`]) expect(verify(fixture, one, { secrets })).toBe(0)
    expect(verify(fixture, old)).toBeUndefined()
    expect(verify(fixture, `${old},v1=${good}`)).toBe(0)
    expect(verify(fixture, header, { secrets: [] })).toBeUndefined()
  })

  it('signs what it takes', () => {
    const signing = { key: stripe.prepare(stripeSecret), id: 'unused', now: time * 1_000 + 999, type: 'unused' }
    expect(stripe.sign(Buffer.from(fixture), signing)).toEqual({ 'Stripe-Signature': `t=${time},v1=${good}` })
  })
})

function parse(body: unknown, headers: HookHeaders = { 'stripe-signature': `t=${time},v1=${good}` }) {
  const raw = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
  return stripe.parse(hookRequest(raw, { 'content-type': 'application/json', ...headers }))
}

describe('meaning', () => {
  const body = { id: 'evt_1CiPtv2eZvKYlo2CcUZsDcO6', object: 'event', type: 'payment_intent.succeeded' }

  it('finds an event, its id and its connected account, and keeps its text as it came', () => {
    const given = { ...body, account: 'acct_1' }
    const text = JSON.stringify(given, null, 2)
    expect(parse(text)).toEqual({
      kind: 'event',
      type: 'payment_intent.succeeded',
      id: body.id,
      tenant: 'acct_1',
      json: text,
      payload: given,
    })
  })

  it.each([undefined, null, '', 7, {}])('belongs to nobody with the account %j', (account) => {
    expect(eventOf(parse({ ...body, account })).tenant).toBeUndefined()
  })

  it.each([
    ['customer.subscription.trial_will_end', 'customer.subscription.trial_will_end'],
    ['v1.billing.meter.error_report_triggered', 'v1.billing.meter.error_report_triggered'],
    ['a..b.', 'a.b'],
    ['a:b*\n', 'a_b__'],
    ['a.b.c.d.e.f.g', 'a.b.c.d.e.f'],
    [`${'x'.repeat(500)}.y`, `${'x'.repeat(64)}.y`],
  ])('names the type %j', (type, expected) => {
    expect(eventOf(parse({ ...body, type })).type).toBe(expected)
  })

  it('hashes an id that is fit for no header, and does without one', () => {
    const odd = eventOf(parse({ ...body, id: `evt\r\n${'x'.repeat(9_000)}` })).id
    expect(odd).toMatch(/^[\w-]{43}$/)
    const none = [undefined, null, '', 7, {}].map((id) => eventOf(parse({ ...body, id: id ?? null, n: 1 })).id)
    for (const id of none) expect(id).toMatch(/^[\w-]{43}$/)
    expect(eventOf(parse({ ...body, id: 7 })).id).not.toBe(eventOf(parse({ ...body, id: 8 })).id)
    const later = { 'stripe-signature': `t=${time + 1},v1=${good}` }
    expect(eventOf(parse({ ...body, id: 7 }, later)).id).not.toBe(eventOf(parse({ ...body, id: 7 })).id)
  })

  it('drops a byte order mark from what is stored', () => {
    expect(eventOf(parse(`\ufeff${JSON.stringify(body)}`)).json).toBe(JSON.stringify(body))
  })

  it('takes __proto__ for a field like any other', () => {
    const given = `{"__proto__":{"account":"acct_evil","polluted":1},${JSON.stringify(body).slice(1)}`
    expect(eventOf(parse(given)).tenant).toBeUndefined()
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })

  it.each<[string, string | Buffer]>([
    ['nothing', ''],
    ['null', 'null'],
    ['an array', '[]'],
    ['a text', '"evt_1"'],
    ['half of it', '{"id":'],
    ['a form', 'payload=%7B%7D'],
    ['invalid UTF-8', Buffer.from('7b2261223a22fffe227d', 'hex')],
    ['100,000 levels', '['.repeat(100_000)],
    ['no type', fixture],
    ['an empty type', '{"id":"evt_1","type":""}'],
    ['a type of dots', '{"id":"evt_1","type":"..."}'],
    ['a type that is no text', '{"id":"evt_1","type":7}'],
  ])('cannot read %s, and says so', (_name, raw) => {
    expect(parse(raw)).toEqual({
      kind: 'unreadable',
      id: expect.stringMatching(/^[\w-]+$/),
      reason: expect.stringMatching(/\w/),
    })
    // Whatever is in the headers: only verify() has to see that they are right.
    for (const headers of [{}, { 'stripe-signature': ['a', 'b'] }, { 'stripe-signature': 't=,,=' }])
      expect(parse(raw, headers).kind).toBe('unreadable')
  })
})
