import { describe, expect, it } from 'vitest'
import { standard } from '../../src/ingest/standard.ts'
import { type HookHeaders, hookRequest } from '../harness/hook-request.ts'
import { standardSecret, standardSignature } from '../harness/signed.ts'

/*
 * Of the library's tests, and made anew with two implementations. The "example headers" that the specification prints for
 * msg_2KWPBgLlAfxdpx2AI54pPJ85f4W do not verify with any known secret, so they are no test.
 */
const vector = {
  id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
  time: 1_614_265_330,
  body: '{"test": 2432232314}',
  v1: 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  privateKey: 'whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==',
  publicKey: 'whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4=',
  v1a: 'v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==',
}
const { id, time, body, v1, v1a } = vector

type Given = {
  id?: string | string[] | undefined
  timestamp?: string | string[] | undefined
  signature?: string | string[] | undefined
  body?: string | Buffer
  now?: number
  secrets?: string[]
  prefix?: string
}

function verify(given: Given = {}): number | undefined {
  const { prefix = 'webhook', secrets = [standardSecret], now = time } = given
  const headers: HookHeaders = {
    [`${prefix}-id`]: 'id' in given ? given.id : id,
    [`${prefix}-timestamp`]: 'timestamp' in given ? given.timestamp : String(time),
    [`${prefix}-signature`]: 'signature' in given ? given.signature : v1,
  }
  return standard.verify(hookRequest(given.body ?? body, headers, now), secrets.map(standard.prepare))
}

describe('proof', () => {
  it('takes the known request at its time, and refuses it today', () => {
    expect(verify()).toBe(0)
    expect(verify({ body: `${body} ` })).toBeUndefined()
    expect(verify({ id: 'msg_other' })).toBeUndefined()
    expect(verify({ timestamp: String(time + 1) })).toBeUndefined()
    expect(verify({ now: Math.floor(Date.now() / 1_000) })).toBeUndefined()
  })

  it('takes the known request that is signed with a private key', () => {
    for (const secrets of [[vector.publicKey], [vector.privateKey], [standardSecret, vector.publicKey]]) {
      expect(verify({ signature: v1a, secrets })).toBe(0)
      expect(verify({ signature: v1a, secrets, body: `${body} ` })).toBeUndefined()
      expect(verify({ signature: v1a, secrets, id: 'msg_other' })).toBeUndefined()
    }
    expect(verify({ signature: v1a })).toBeUndefined()
    expect(verify({ signature: v1, secrets: [vector.publicKey] })).toBeUndefined()
  })

  it('does not take the one kind of signature for the other', () => {
    const secrets = [standardSecret, vector.publicKey]
    expect(verify({ signature: `v1a,${v1.slice(3)}`, secrets })).toBeUndefined()
    expect(verify({ signature: `v1,${v1a.slice(4)}`, secrets })).toBeUndefined()
    // Who knows the public key only must not be able to sign with it.
    const forged = standardSignature(vector.publicKey, id, time, body)
    expect(forged).toMatch(/^v1,/)
    expect(verify({ signature: forged, secrets: [vector.publicKey] })).toBeUndefined()
    expect(verify({ signature: forged.replace('v1,', 'v1a,'), secrets: [vector.publicKey] })).toBeUndefined()
  })

  it("takes Svix's names for the headers, but no mixture", () => {
    expect(verify({ prefix: 'svix' })).toBe(0)
    const [key] = [standard.prepare(standardSecret)]
    const mixed = (headers: HookHeaders) => standard.verify(hookRequest(body, headers, time), [key])
    const [webhook, svix] = ['webhook', 'svix'].map((prefix) => ({
      [`${prefix}-id`]: id,
      [`${prefix}-timestamp`]: String(time),
      [`${prefix}-signature`]: v1,
    })) as [HookHeaders, HookHeaders]
    expect(mixed({ ...webhook, ...svix })).toBe(0)
    expect(mixed({ ...svix, 'webhook-signature': v1 })).toBeUndefined()
    expect(mixed({ ...svix, 'webhook-signature': ['', ''] })).toBeUndefined()
    expect(mixed({ ...webhook, 'webhook-id': undefined, 'svix-id': id })).toBeUndefined()
    expect(mixed({ ...svix, ...webhook, 'webhook-signature': 'v1,bad' })).toBeUndefined()
  })

  it.each([
    ['nothing', ''],
    ['a byte order mark', 'efbbbf7b2261223a317d'],
    ['what is not UTF-8', '7b2261223a22fffe227d'],
    ['a tail of CR LF', '7b2261223a317d0d0a'],
  ])('is over the bytes: %s', (_name, hex) => {
    const bytes = Buffer.from(hex, 'hex')
    const signature = standardSignature(standardSecret, id, time, bytes)
    expect(verify({ body: bytes, signature })).toBe(0)
    expect(verify({ body: Buffer.concat([bytes, Buffer.from(' ')]), signature })).toBeUndefined()
  })

  it('does not take one invalid byte sequence for another', () => {
    const signature = standardSignature(standardSecret, id, time, Buffer.from([0xff, 0xfe]))
    for (const bytes of [Buffer.from([0xfe, 0xff]), Buffer.from('\ufffd\ufffd')])
      expect(verify({ body: bytes, signature })).toBeUndefined()
  })

  const other = `v1,${Buffer.alloc(32).toString('base64')}`
  it.each([
    ['first', `${v1} ${other}`],
    ['last', `${other} ${v1}`],
    ['tenth', `${`${other} `.repeat(9)}${v1}`],
    ['behind a version that is not known', `v2,xyz v1b,${v1a.slice(4)} ${v1}`],
    ['behind one of the other kind', `${v1a} ${v1}`],
    ['behind broken ones', `v1, v1 ,x v1,short ${v1}`],
    ['behind two spaces', `${other}  ${v1}`],
  ])('takes one signature of several: %s', (_name, signature) => {
    expect(verify({ signature })).toBe(0)
  })

  const text = v1.slice(3)
  // The last letter of 32 bytes in base64 has two bits that stand for nothing.
  const sameBytes = `${text.slice(0, -2)}F=`
  it.each([
    ['no version', text],
    ['another version', `v2,${text}`],
    ['upper-case version', `V1,${text}`],
    ['no padding', v1.slice(0, -1)],
    ['more padding', `${v1}=`],
    ['other letters for the same bytes', `v1,${sameBytes}`],
    ['letters for URLs', `v1,${text.replaceAll('+', '-').replaceAll('/', '_')}`],
    ['hex', `v1,${Buffer.from(text, 'base64').toString('hex')}`],
    ['lower case', v1.toLowerCase()],
    ['one letter less', `${v1.slice(0, -2)}=`],
    ['junk behind a comma', `${v1},junk`],
    ['junk behind it', `${v1}junk`],
    ['junk in front of it', `x${v1}`],
    ['a comma between two', `${v1},${v1}`],
    ['a comma behind each', `${other}, ${v1},`],
    ['a tab between two', `${other}\t${v1}`],
    ['an eleventh place', `${`${other} `.repeat(10)}${v1}`],
    ['wide characters', `v1,${'é'.repeat(43)}=`],
    ['only the version', 'v1,'],
    ['nothing', ''],
    ['another value', other],
  ])('refuses a signature with %s, without throwing', (_name, signature) => {
    expect(Buffer.from(sameBytes, 'base64')).toEqual(Buffer.from(text, 'base64'))
    expect(verify({ signature })).toBeUndefined()
  })

  it.each([
    ['a version of the other kind', `v1,${v1a.slice(4)}`],
    ['no padding', v1a.slice(0, -2)],
    ['other letters for the same bytes', `${v1a.slice(0, -3)}h==`],
    ['another value', `v1a,${Buffer.alloc(64).toString('base64')}`],
    ['32 bytes', `v1a,${text}`],
    ['nothing', 'v1a,'],
  ])('refuses a v1a signature with %s, without throwing', (_name, signature) => {
    expect(verify({ signature, secrets: [vector.publicKey] })).toBeUndefined()
  })

  it('refuses a header that is missing, empty or was sent twice', () => {
    expect(verify({ id: undefined })).toBeUndefined()
    expect(verify({ timestamp: undefined })).toBeUndefined()
    expect(verify({ signature: undefined })).toBeUndefined()
    expect(verify({ id: [id, id] })).toBeUndefined()
    expect(verify({ timestamp: [String(time), String(time)] })).toBeUndefined()
    expect(verify({ signature: [v1, v1] })).toBeUndefined()
    expect(verify({ id: '', signature: standardSignature(standardSecret, '', time, body) })).toBeUndefined()
  })

  it('refuses an id with a dot, although it is signed: what is the id then?', () => {
    const signature = standardSignature(standardSecret, `a.${time}`, time, body)
    expect(verify({ id: `a.${time}`, signature })).toBeUndefined()
    // The same bytes, cut elsewhere.
    expect(verify({ id: 'a', body: `${time}.${body}`, signature })).toBe(0)
  })

  it.each([
    '1.614265330e9',
    '1614265330e0',
    '0x6037bcf2',
    '+1614265330',
    '1614265330.0',
    '1614265330abc',
    ' 1614265330',
    '1614265330 ',
    '01614265330',
    '１６１４２６５３３０',
    '-1',
    '-1614265330',
    '0',
    'NaN',
    'Infinity',
    '',
  ])('refuses the timestamp %j, whichever spelling was signed', (timestamp) => {
    const lenient = [Number(timestamp), Number.parseFloat(timestamp)].find(Number.isFinite) ?? time
    for (const over of [timestamp, String(lenient), '']) {
      const signature = standardSignature(standardSecret, id, over, body)
      expect(verify({ timestamp, signature, now: lenient })).toBeUndefined()
    }
  })

  it.each([-300, -298, 0, 298, 300])('takes a clock that is %i s off, and tells by how much', (off) => {
    expect(verify({ now: time + off })).toBe(off)
    expect(verify({ now: time + off, signature: v1a, secrets: [vector.publicKey] })).toBe(off)
  })

  it.each([-3_600, -302, -301, 301, 302, 3_600, 315_360_000])('refuses a clock that is %i s off', (off) => {
    expect(verify({ now: time + off })).toBeUndefined()
    expect(verify({ now: time + off, signature: v1a, secrets: [vector.publicKey] })).toBeUndefined()
  })

  it('takes each of several live secrets, and no longer one that was removed', () => {
    const old = `whsec_${Buffer.alloc(24, 'old').toString('base64')}`
    const signature = standardSignature(old, id, time, body)
    for (const secrets of [
      [old, standardSecret],
      [standardSecret, old],
    ]) {
      expect(verify({ secrets })).toBe(0)
      expect(verify({ secrets, signature })).toBe(0)
      expect(verify({ secrets, signature: `${signature} ${v1}` })).toBe(0)
    }
    expect(verify({ signature })).toBeUndefined()
    expect(verify({ secrets: [] })).toBeUndefined()
  })
})

describe('a secret', () => {
  it('is taken with and without its prefix and padding', () => {
    expect(verify({ secrets: [standardSecret.slice(6)] })).toBe(0)
    const padded = `whsec_${Buffer.alloc(25, 7).toString('base64')}`
    expect(padded).toMatch(/==$/)
    const signature = standardSignature(padded, id, time, body)
    expect(verify({ secrets: [padded.replace(/=+$/, '')], signature })).toBe(0)
    expect(verify({ secrets: [vector.publicKey.replace('=', '')], signature: v1a })).toBe(0)
  })

  it.each([
    ['nothing', 'whsec_'],
    ['23 bytes', `whsec_${Buffer.alloc(23).toString('base64')}`],
    ['65 bytes', `whsec_${Buffer.alloc(65).toString('base64')}`],
    ['a public key of 31 bytes', `whpk_${Buffer.alloc(31).toString('base64')}`],
    ['a public key of 64 bytes', `whpk_${Buffer.alloc(64).toString('base64')}`],
    ['a private key of 32 bytes', `whsk_${Buffer.alloc(32).toString('base64')}`],
  ])('of %s is refused without being repeated', (_name, secret) => {
    expect(() => standard.prepare(secret)).toThrow(/bytes in base64/)
    const encoded = secret.replace(/^\w+_/, '')
    if (encoded) expect(() => standard.prepare(secret)).not.toThrow(encoded)
  })

  it.each([24, 64])('of %i bytes is taken', (length) => {
    const secret = `whsec_${Buffer.alloc(length, 1).toString('base64')}`
    expect(verify({ secrets: [secret], signature: standardSignature(secret, id, time, body) })).toBe(0)
  })

  it('signs what it takes', () => {
    const signing = { id, now: time * 1_000 + 999, type: 'unused' }
    const sign = (secret: string) => standard.sign(Buffer.from(body), { ...signing, key: standard.prepare(secret) })
    const headers = { 'webhook-id': id, 'webhook-timestamp': String(time) }
    expect(sign(standardSecret)).toEqual({ ...headers, 'webhook-signature': v1 })
    expect(sign(vector.privateKey)).toEqual({ ...headers, 'webhook-signature': v1a })
  })
})
