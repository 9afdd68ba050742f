import { describe, expect, it } from 'vitest'
import type { HmacScheme } from '../../src/config.ts'
import { createHmacProvider } from '../../src/ingest/hmac.ts'
import { eventOf, type HookHeaders, hookRequest } from '../harness/hook-request.ts'
import { hmacOf } from '../harness/signed.ts'

const time = 1_700_000_000
const plain: HmacScheme = {
  header: 'X-Signature',
  algorithm: 'sha256',
  encoding: 'hex',
  prefix: '',
  toleranceSeconds: 300,
  typeField: 'type',
}
const timed: HmacScheme = { ...plain, timestampHeader: 'X-Timestamp', prefix: 'sha256=' }

function verify(
  scheme: HmacScheme,
  body: string | Buffer,
  headers: HookHeaders,
  { now = time, secrets = ['s'] } = {},
): number | undefined {
  const provider = createHmacProvider(scheme)
  return provider.verify(hookRequest(body, headers, now), secrets.map(provider.prepare))
}

describe('proof', () => {
  it.each<[string, Partial<HmacScheme>, string, string, string]>([
    // The vectors of other providers, whose schemes are of this kind.
    [
      'GitHub',
      { header: 'X-Hub-Signature-256', prefix: 'sha256=' },
      "It's a Secret to Everybody",
      'Hello, World!',
      'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17',
    ],
    [
      'GitHub, as it was',
      { header: 'X-Hub-Signature', prefix: 'sha1=', algorithm: 'sha1' },
      "It's a Secret to Everybody",
      'Hello, World!',
      'sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59',
    ],
    [
      'Shopify',
      { header: 'X-Shopify-Hmac-Sha256', encoding: 'base64' },
      'hush',
      '{"id":1}',
      'VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY=',
    ],
    [
      'Linear',
      { header: 'Linear-Signature' },
      'SECRET',
      '{"action":"create","webhookTimestamp":1614265330000}',
      'e1f98aafdb5d5f17b80994881c4064d366c72eab21d3c7c7faf563c778881deb',
    ],
  ])('takes the known request of %s', (_name, scheme, secret, body, signature) => {
    const all = { ...plain, ...scheme }
    const headers = { [all.header.toLowerCase()]: signature }
    expect(verify(all, body, headers, { secrets: [secret] })).toBe(0)
    expect(verify(all, `${body} `, headers, { secrets: [secret] })).toBeUndefined()
    expect(verify(all, body, headers, { secrets: [`${secret} `] })).toBeUndefined()
  })

  for (const algorithm of ['sha1', 'sha256', 'sha512'] as const)
    for (const encoding of ['hex', 'base64'] as const)
      it(`reads ${algorithm} in ${encoding}, and nothing that only looks like it`, () => {
        const scheme = { ...plain, algorithm, encoding, prefix: 'v=' }
        const good = hmacOf('s', ['{}'], { algorithm, encoding })
        const check = (signature: string | string[] | undefined) => verify(scheme, '{}', { 'x-signature': signature })
        expect(check(`v=${good}`)).toBe(0)
        const bytes = Buffer.from(good, encoding)
        const wrong = [
          good,
          `V=${good}`,
          `v=v=${good}`,
          `v= ${good}`,
          `v=${good}0`,
          `v=${good}==`,
          `v=${good}=junk`,
          `v=${good.slice(0, -1)}`,
          `v=${good.slice(0, -4)}`,
          `v=${bytes.subarray(1).toString(encoding)}`,
          `v=${Buffer.alloc(bytes.length).toString(encoding)}`,
          `v=${bytes.toString(encoding === 'hex' ? 'base64' : 'hex')}`,
          `v=${encoding === 'hex' ? good.toUpperCase() : good.replace(/=+$/, '')}${encoding === 'hex' ? '' : '!'}`,
          `v=${bytes.toString('base64url')}=junk`,
          `v=${'é'.repeat(good.length)}`,
          `v=${good}, v=${good}`,
          'v=',
          '',
          undefined,
          [`v=${good}`, `v=${good}`],
        ]
        for (const signature of wrong) expect(check(signature)).toBeUndefined()
      })

  it('takes of several texts in base64 for the same bytes only the one that is written', () => {
    const scheme = { ...plain, encoding: 'base64' as const }
    const good = hmacOf('s', ['{}'], { encoding: 'base64' })
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
    const other = `${good.slice(0, -2)}${alphabet[alphabet.indexOf(good.at(-2) ?? '') + 1]}=`
    expect(Buffer.from(other, 'base64')).toEqual(Buffer.from(good, 'base64'))
    expect(verify(scheme, '{}', { 'x-signature': good })).toBe(0)
    expect(verify(scheme, '{}', { 'x-signature': other })).toBeUndefined()
    expect(verify(scheme, '{}', { 'x-signature': good.replace(/=$/, '') })).toBeUndefined()
  })

  it.each([
    ['nothing', ''],
    ['a byte order mark', 'efbbbf7b2261223a317d'],
    ['what is not UTF-8', '7b2261223a22fffe227d'],
    ['a tail of CR LF', '7b2261223a317d0d0a'],
  ])('is over the bytes: %s', (_name, hex) => {
    const body = Buffer.from(hex, 'hex')
    const headers = { 'x-signature': hmacOf('s', [body]) }
    expect(verify(plain, body, headers)).toBe(0)
    expect(verify(plain, Buffer.concat([body, Buffer.from(' ')]), headers)).toBeUndefined()
  })

  it('does not take one invalid byte sequence for another', () => {
    const headers = { 'x-signature': hmacOf('s', [Buffer.from([0xff, 0xfe])]) }
    for (const body of [Buffer.from([0xfe, 0xff]), Buffer.from('\ufffd\ufffd')])
      expect(verify(plain, body, headers)).toBeUndefined()
  })

  it('takes each of several live secrets, and no longer one that was removed', () => {
    const signed = (secret: string) => ({ 'x-signature': hmacOf(secret, ['{}']) })
    for (const secret of ['old', 'new']) {
      expect(verify(plain, '{}', signed(secret), { secrets: ['old', 'new'] })).toBe(0)
      expect(verify(plain, '{}', signed(secret), { secrets: ['new', 'old'] })).toBe(0)
    }
    expect(verify(plain, '{}', signed('old'), { secrets: ['new'] })).toBeUndefined()
    expect(verify(plain, '{}', signed('old'), { secrets: [] })).toBeUndefined()
  })
})

describe('proof with a time', () => {
  const signed = (timestamp: string | string[] | undefined, over: string | number = time) => ({
    'x-timestamp': timestamp,
    'x-signature': `sha256=${hmacOf('s', [`${over}.`, '{}'])}`,
  })

  it.each([-300, -298, 0, 298, 300])('takes a clock that is %i s off, and tells by how much', (off) => {
    expect(verify(timed, '{}', signed(String(time)), { now: time + off })).toBe(off)
  })

  it.each([-3_600, -302, -301, 301, 302, 315_360_000])('refuses a clock that is %i s off', (off) => {
    expect(verify(timed, '{}', signed(String(time)), { now: time + off })).toBeUndefined()
  })

  it('has the tolerance that it is given', () => {
    const strict = { ...timed, toleranceSeconds: 5 }
    expect(verify(strict, '{}', signed(String(time)), { now: time + 5 })).toBe(5)
    expect(verify(strict, '{}', signed(String(time)), { now: time + 6 })).toBeUndefined()
  })

  it('wants the time to be signed, and to be there once', () => {
    expect(verify(timed, '{}', signed(String(time + 1)))).toBeUndefined()
    const untimed = { 'x-timestamp': String(time), 'x-signature': `sha256=${hmacOf('s', ['{}'])}` }
    expect(verify(timed, '{}', untimed)).toBeUndefined()
    expect(verify(timed, '{}', signed(undefined))).toBeUndefined()
    expect(verify(timed, '{}', { ...untimed, 'x-timestamp': undefined })).toBeUndefined()
    expect(verify(timed, '{}', signed([String(time), String(time)]))).toBeUndefined()
    // Where no time belongs, none is looked at.
    expect(verify({ ...plain, prefix: 'sha256=' }, '{}', untimed)).toBe(0)
  })

  it.each([
    '1.7e9',
    '0x6553f100',
    '+1700000000',
    '1700000000.0',
    '1700000000abc',
    ' 1700000000',
    '1700000000 ',
    '-1',
    '',
  ])('refuses the timestamp %j, whichever spelling was signed', (timestamp) => {
    for (const over of [timestamp, time, '']) {
      expect(verify(timed, '{}', signed(timestamp, over))).toBeUndefined()
      expect(verify(timed, '{}', signed(timestamp, over), { now: Number(timestamp) || 0 })).toBeUndefined()
    }
  })
})

describe('meaning', () => {
  const named = { ...timed, idHeader: 'X-Id', typeHeader: 'X-Topic' }
  const parse = (scheme: HmacScheme, body: unknown, headers: HookHeaders = {}) =>
    createHmacProvider(scheme).parse(
      hookRequest(typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body), headers, time),
    )

  it('finds id and type where the scheme has them, and keeps the text as it came', () => {
    const payload = { type: 'by.field', a: 1 }
    const text = JSON.stringify(payload, null, 2)
    const headers = { 'x-id': 'id-1', 'x-topic': 'orders.paid' }
    const expected = { kind: 'event', type: 'orders.paid', id: 'id-1', tenant: undefined, json: text, payload }
    expect(parse(named, text, headers)).toEqual(expected)
    expect(parse({ ...named, typeField: 'kind' }, { kind: 'x' }, { 'x-id': 'id-1' })).toMatchObject({ type: 'x' })
  })

  it.each<[unknown, HookHeaders, string]>([
    [{ type: 'by.field' }, {}, 'by.field'],
    [{ type: 'by.field' }, { 'x-topic': '' }, 'by.field'],
    [{ type: 'by.field' }, { 'x-topic': ['a', 'b'] }, 'by.field'],
    [{ type: 'by.field' }, { 'x-topic': '...' }, 'event'],
    [{ type: 'by.field' }, { 'x-topic': 'a/b:c' }, 'a_b_c'],
    [{ type: '..' }, {}, 'event'],
    [{ type: 7 }, {}, 'event'],
    [{ type: {} }, {}, 'event'],
    [{}, {}, 'event'],
  ])('names %j with the headers %j', (body, headers, type) => {
    expect(eventOf(parse(named, body, headers)).type).toBe(type)
  })

  it.each(['__proto__', 'constructor', 'toString'])('reads no type from what every object has: %s', (typeField) => {
    expect(eventOf(parse({ ...plain, typeField }, {})).type).toBe('event')
  })

  it('makes an id of what is signed when there is none', () => {
    const at = (timestamp: string, body: unknown = {}, more: HookHeaders = {}) =>
      eventOf(parse(named, body, { 'x-timestamp': timestamp, ...more })).id
    expect(at('1700000000')).toMatch(/^[\w-]{43}$/)
    expect(at('1700000000')).toBe(at('1700000000', {}, { 'x-topic': 'other' }))
    expect(at('1700000000')).not.toBe(at('1700000001'))
    expect(at('1700000000')).not.toBe(at('1700000000', { a: 1 }))
    expect(at('1700000000', {}, { 'x-id': ['a', 'a'] })).toBe(at('1700000000'))
    // Not signed, so not looked at.
    expect(eventOf(parse(plain, {}, { 'x-id': 'x' })).id).toBe(eventOf(parse(plain, {})).id)
    expect(eventOf(parse(named, {}, { 'x-id': `a b${'x'.repeat(9_000)}` })).id).toMatch(/^[\w-]{43}$/)
  })

  it.each<[string, string | Buffer]>([
    ['nothing', ''],
    ['null', 'null'],
    ['an array', '[]'],
    ['a text', '"a"'],
    ['half of it', '{"type":'],
    ['a form', 'type=a'],
    ['invalid UTF-8', Buffer.from('7b2261223a22fffe227d', 'hex')],
    ['100,000 levels', '['.repeat(100_000)],
  ])('cannot read %s, and says so', (_name, raw) => {
    const expected = { kind: 'unreadable', id: 'id-1', reason: expect.stringMatching(/\w/) }
    expect(parse(named, raw, { 'x-id': 'id-1' })).toEqual(expected)
    expect(parse(plain, raw).kind).toBe('unreadable')
  })

  it('drops a byte order mark, and takes __proto__ for a field', () => {
    const given = '{"__proto__":{"type":"evil"}}'
    expect(eventOf(parse(plain, `\ufeff${given}`))).toMatchObject({ type: 'event', json: given })
  })

  it('signs what it takes', () => {
    for (const scheme of [plain, timed, named, { ...named, algorithm: 'sha512', encoding: 'base64' } as const]) {
      const provider = createHmacProvider(scheme)
      const key = provider.prepare('s')
      const signed = provider.sign(Buffer.from('{}'), { key, id: 'id-1', now: time * 1_000 + 999, type: 'a.b' })
      const headers = Object.fromEntries(Object.entries(signed).map(([name, value]) => [name.toLowerCase(), value]))
      const request = hookRequest('{}', headers, time)
      expect(provider.verify(request, [key])).toBe(0)
      const isNamed = scheme === named || scheme.algorithm === 'sha512'
      if (isNamed) expect(provider.parse(request)).toMatchObject({ id: 'id-1', type: 'a.b' })
    }
  })
})
