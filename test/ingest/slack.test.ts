import { createHmac, createSecretKey } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { slack } from '../../src/ingest/slack.ts'
import { docBody, docTime, formType, type HookHeaders, hookRequest } from '../harness/hook-request.ts'
import { slackSecret } from '../harness/slack.ts'

const docSignature = 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503'

const keys = (...secrets: string[]) => secrets.map((secret) => createSecretKey(secret, 'utf8'))

/** Written apart from src/, so that it can disagree with it. `over` is the timestamp as it is signed. */
function signature(body: string | Buffer, over: string | number, secret = slackSecret): string {
  return `v0=${createHmac('sha256', secret).update(`v0:${over}:`).update(body).digest('hex')}`
}

function verify(
  body: string | Buffer,
  given: { timestamp?: string | string[]; signature?: string | string[]; now?: number; secrets?: string[] },
): number | undefined {
  const headers = { 'x-slack-request-timestamp': given.timestamp, 'x-slack-signature': given.signature }
  return slack.verify(hookRequest(body, headers, given.now), keys(...(given.secrets ?? [slackSecret])))
}

describe('proof', () => {
  const vector = { timestamp: String(docTime), signature: docSignature }

  it("takes the request of Slack's documentation at its time, and refuses it today", () => {
    expect(Buffer.byteLength(docBody)).toBe(362)
    expect(verify(docBody, vector)).toBe(0)
    expect(verify(docBody, { ...vector, now: Math.floor(Date.now() / 1_000) })).toBeUndefined()
  })

  // Made with two other implementations of HMAC; over bytes that a verifier which decodes first gets wrong.
  it.each([
    ['empty', Buffer.alloc(0), 'v0=55f41ec73231010289b54e669149ea021fccab11b5524355523533ce930cb739'],
    [
      'a byte order mark',
      Buffer.from('efbbbf7b2261223a317d', 'hex'),
      'v0=1bff57eda104cf06ad77b9a5d6f22a5e58de1710c168d9b91614c6b0785c8f1e',
    ],
    [
      'not UTF-8',
      Buffer.from('7b2261223a22fffe227d', 'hex'),
      'v0=191d7059df34a056b29d4ecc604a04664f7e20f6ae03549cb1d221070f891a68',
    ],
    [
      'a tail of CR LF',
      Buffer.from('7b2261223a317d0d0a', 'hex'),
      'v0=c56cc4955b5f2b4a713f411616d0bac3c34033990ccc16d0fdc79251736d8947',
    ],
    [
      'ssl_check, signed all the same',
      Buffer.from('ssl_check=1&token=gIkuvaNzQIHg97ATvDxqgjtO'),
      'v0=b3c75b90c5f148202caac85c939483d8919fbda68666aa8bf0dad1aa26d74919',
    ],
  ])('is over the bytes: %s', (_name, body, expected) => {
    expect(verify(body, { timestamp: String(docTime), signature: expected })).toBe(0)
    const other = Buffer.concat([body, Buffer.from(' ')])
    expect(verify(other, { timestamp: String(docTime), signature: expected })).toBeUndefined()
  })

  it('does not take one invalid byte sequence for another, nor for the replacement character', () => {
    const signed = signature(Buffer.from([0xff, 0xfe]), docTime)
    for (const body of [Buffer.from([0xfe, 0xff]), Buffer.from('\ufffd\ufffd')])
      expect(verify(body, { timestamp: String(docTime), signature: signed })).toBeUndefined()
  })

  it('refuses a body that was parsed and written again', () => {
    const sent = '{"a": 1}'
    const given = { timestamp: String(docTime), signature: signature(sent, docTime) }
    expect(verify(sent, given)).toBe(0)
    expect(verify(JSON.stringify(JSON.parse(sent)), given)).toBeUndefined()
  })

  it.each([
    '1.531420618e9',
    '1531420618e0',
    '0x5b47a28a',
    '+1531420618',
    '1531420618.0',
    '1531420618abc',
    ' 1531420618',
    '1531420618 ',
    '01531420618',
    '１５３１４２０６１８',
    '-1',
    '0',
    'NaN',
    'Infinity',
    '',
  ])('refuses the timestamp %j, whichever spelling was signed', (timestamp) => {
    const value = Number.parseFloat(timestamp)
    // The clock where a lenient reader would see no skew at all.
    const now = Number.isFinite(Number(timestamp)) ? Number(timestamp) : Number.isFinite(value) ? value : docTime
    for (const over of [timestamp, String(value), String(now), ''])
      expect(verify('{}', { timestamp, signature: signature('{}', over), now })).toBeUndefined()
  })

  it('refuses a missing timestamp or signature, whatever was signed', () => {
    for (const over of ['', 'undefined', 'null', String(docTime)])
      expect(verify('{}', { signature: signature('{}', over) })).toBeUndefined()
    expect(verify('{}', { timestamp: String(docTime) })).toBeUndefined()
    expect(verify('{}', {})).toBeUndefined()
  })

  it('refuses a timestamp or signature that was sent twice', () => {
    const timestamp = String(docTime)
    const good = signature('{}', docTime)
    expect(verify('{}', { timestamp, signature: good })).toBe(0)
    expect(verify('{}', { timestamp: [timestamp, timestamp], signature: good })).toBeUndefined()
    expect(verify('{}', { timestamp, signature: [good, good] })).toBeUndefined()
    expect(verify('{}', { timestamp, signature: `${good}, ${good}` })).toBeUndefined()
  })

  it.each([-298, 0, 298])('takes a clock that is %i s off, and tells by how much', (off) => {
    const given = { timestamp: String(docTime), signature: signature('{}', docTime) }
    expect(verify('{}', { ...given, now: docTime + off })).toBe(off)
  })

  it.each([-3_600, -302, 302, 3_600, 315_360_000])('refuses a clock that is %i s off', (off) => {
    const given = { timestamp: String(docTime), signature: signature('{}', docTime) }
    expect(verify('{}', { ...given, now: docTime + off })).toBeUndefined()
  })

  const good = signature('{}', docTime)
  const hex = good.slice(3)
  it.each([
    ['upper-case hex', `v0=${hex.toUpperCase()}`],
    ['upper-case version', `V0=${hex}`],
    ['junk behind it', `${good}=junk`],
    ['another version', `v1=${hex}`],
    ['no version', hex],
    ['only the version', 'v0='],
    ['nothing', ''],
    ['one digit less', good.slice(0, -1)],
    ['one digit more', `${good}0`],
    ['twice as long', `${good}${hex}`],
    ['no hex', `v0=${'z'.repeat(64)}`],
    ['wide characters', `v0=${'é'.repeat(64)}`],
    ['white space', ` ${good}`],
    ['base64', `v0=${Buffer.from(hex, 'hex').toString('base64')}`],
    ['another value', `v0=${'0'.repeat(64)}`],
  ])('refuses a signature with %s, without throwing', (_name, given) => {
    expect(verify('{}', { timestamp: String(docTime), signature: given })).toBeUndefined()
  })

  it('takes each of several live secrets, and no longer one that was removed', () => {
    for (const secret of ['old-secret', 'new-secret']) {
      const given = { timestamp: String(docTime), signature: signature('{}', docTime, secret) }
      expect(verify('{}', { ...given, secrets: ['old-secret', 'new-secret'] })).toBe(0)
      expect(verify('{}', { ...given, secrets: ['new-secret', 'old-secret'] })).toBe(0)
    }
    const old = { timestamp: String(docTime), signature: signature('{}', docTime, 'old-secret') }
    expect(verify('{}', { ...old, secrets: ['new-secret'] })).toBeUndefined()
    expect(verify('{}', { ...old, secrets: [] })).toBeUndefined()
  })
})

describe('the one request without a signature', () => {
  const sslCheck = 'ssl_check=1&token=gIkuvaNzQIHg97ATvDxqgjtO'
  const unsigned = (body: string, headers: HookHeaders) => slack.unsigned?.(hookRequest(body, headers))

  it('is answered with nothing', () => {
    for (const type of [formType, `${formType}; charset=utf-8`, formType.toUpperCase()])
      expect(unsigned(sslCheck, { 'content-type': type })).toEqual({
        kind: 'answer',
        contentType: 'text/plain',
        body: '',
      })
  })

  it('is answered the same whatever else is in it', () => {
    const smuggled = `payload=${encodeURIComponent('{"type":"block_actions"}')}&command=%2Fdeploy&${sslCheck}`
    expect(unsigned(smuggled, { 'content-type': formType })).toMatchObject({ kind: 'answer', body: '' })
  })

  it.each([
    ['a signature', sslCheck, { 'content-type': formType, 'x-slack-signature': 'v0=bad' }],
    ['two signatures', sslCheck, { 'content-type': formType, 'x-slack-signature': ['v0=bad', 'v0=bad'] }],
    ['JSON', '{"ssl_check":1}', { 'content-type': 'application/json' }],
    ['no content type', sslCheck, {}],
    ['another value', 'ssl_check=0', { 'content-type': formType }],
    ['a command', 'command=%2Fdeploy', { 'content-type': formType }],
    ['more than 4 kB', `${sslCheck}&x=${'x'.repeat(4_096)}`, { 'content-type': formType }],
  ])('has to be a small form with ssl_check=1: not with %s', (_name, body, headers) => {
    expect(unsigned(body, headers)).toBeUndefined()
  })
})
