import { createSecretKey } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { github } from '../../src/ingest/github.ts'
import { eventOf, formType, type HookHeaders, hookRequest } from '../harness/hook-request.ts'
import { githubSecret, hmacOf } from '../harness/signed.ts'

const docSignature = 'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17'
const docForm = 'payload=%7B%22zen%22%3A%22Keep+it+logically+awesome.%22%7D'
const docFormSignature = 'sha256=1fc8bf6145b8e3b76b01404760bc7e884a641ad0fe4b9b66ced27d4a983cce1c'

const signature = (body: string | Buffer, secret = githubSecret) => `sha256=${hmacOf(secret, [body])}`

function verify(body: string | Buffer, given: string | string[] | undefined, secrets = [githubSecret]) {
  const keys = secrets.map((secret) => createSecretKey(secret, 'utf8'))
  return github.verify(hookRequest(body, { 'x-hub-signature-256': given }), keys)
}

describe('proof', () => {
  it("takes the request of GitHub's documentation, and its form", () => {
    expect(verify('Hello, World!', docSignature)).toBe(0)
    expect(verify(docForm, docFormSignature)).toBe(0)
    expect(verify('Hello, World?', docSignature)).toBeUndefined()
    // Over the form's bytes, not over the JSON in it.
    expect(verify('{"zen":"Keep it logically awesome."}', docFormSignature)).toBeUndefined()
  })

  it('does not take the signature of the old scheme', () => {
    const sha1 = 'sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59'
    expect(sha1).toBe(`sha1=${hmacOf(githubSecret, ['Hello, World!'], { algorithm: 'sha1' })}`)
    expect(verify('Hello, World!', sha1)).toBeUndefined()
    const alone = hookRequest('Hello, World!', { 'x-hub-signature': sha1 })
    expect(github.verify(alone, [createSecretKey(githubSecret, 'utf8')])).toBeUndefined()
    const both = hookRequest('Hello, World!', { 'x-hub-signature': sha1, 'x-hub-signature-256': signature('other') })
    expect(github.verify(both, [createSecretKey(githubSecret, 'utf8')])).toBeUndefined()
  })

  it.each([
    ['nothing', ''],
    ['a byte order mark', 'efbbbf7b2261223a317d'],
    ['what is not UTF-8', '7b2261223a22fffe227d'],
    ['a tail of CR LF', '7b2261223a317d0d0a'],
    ['NUL', '7b00'],
  ])('is over the bytes: %s', (_name, hex) => {
    const body = Buffer.from(hex, 'hex')
    expect(verify(body, signature(body))).toBe(0)
    expect(verify(Buffer.concat([body, Buffer.from(' ')]), signature(body))).toBeUndefined()
  })

  it('does not take one invalid byte sequence for another', () => {
    const signed = signature(Buffer.from([0xff, 0xfe]))
    for (const body of [Buffer.from([0xfe, 0xff]), Buffer.from('\ufffd\ufffd')])
      expect(verify(body, signed)).toBeUndefined()
  })

  const good = signature('{}')
  const hex = good.slice(7)
  it.each([
    ['upper-case hex', `sha256=${hex.toUpperCase()}`],
    ['an upper-case prefix', `SHA256=${hex}`],
    ['no prefix', hex],
    ['another prefix', `sha1=${hex}`],
    ['junk in front of it', `x${good}`],
    ['junk behind it', `${good}=junk`],
    ['the prefix twice', `sha256=${good}`],
    ['only the prefix', 'sha256='],
    ['nothing', ''],
    ['one digit less', good.slice(0, -1)],
    ['one digit more', `${good}0`],
    ['no hex', `sha256=${'z'.repeat(64)}`],
    ['wide characters', `sha256=${'é'.repeat(64)}`],
    ['white space', ` ${good}`],
    ['a line end', `${good}\n`],
    ['base64', `sha256=${Buffer.from(hex, 'hex').toString('base64')}`],
    ['another value', `sha256=${'0'.repeat(64)}`],
    ['itself, joined', `${good}, ${good}`],
  ])('refuses a signature with %s, without throwing', (_name, given) => {
    expect(verify('{}', good)).toBe(0)
    expect(verify('{}', given)).toBeUndefined()
  })

  it('refuses a signature that is missing or was sent twice', () => {
    expect(verify('{}', undefined)).toBeUndefined()
    expect(verify('{}', [good, good])).toBeUndefined()
  })

  it('takes each of several live secrets, and no longer one that was removed', () => {
    for (const secret of ['old', 'new']) {
      expect(verify('{}', signature('{}', secret), ['old', 'new'])).toBe(0)
      expect(verify('{}', signature('{}', secret), ['new', 'old'])).toBe(0)
    }
    expect(verify('{}', signature('{}', 'old'), ['new'])).toBeUndefined()
    expect(verify('{}', signature('{}', 'old'), [])).toBeUndefined()
  })

  it('signs what it takes', () => {
    const key = github.prepare(githubSecret)
    const headers = github.sign(Buffer.from('{}'), { key, id: 'guid-1', now: 0, type: 'pull_request.opened' })
    expect(headers).toEqual({
      'X-Hub-Signature-256': good,
      'X-GitHub-Event': 'pull_request',
      'X-GitHub-Delivery': 'guid-1',
      'User-Agent': 'GitHub-Hookshot/millrace',
    })
  })
})

const guid = '72d3162e-cc78-11e3-81ab-4c9367dc0958'

function parse(body: unknown, headers: HookHeaders = {}) {
  const raw = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
  const plain = { 'content-type': 'application/json', 'x-github-event': 'issues', 'x-github-delivery': guid }
  return github.parse(hookRequest(raw, { ...plain, ...headers }))
}

describe('meaning', () => {
  const body = { action: 'opened', repository: { owner: { login: 'octocat' } }, organization: { login: 'github' } }

  it('finds an event, its GUID and whose it is, and keeps its text as it came', () => {
    const text = JSON.stringify(body, null, 2)
    expect(parse(text)).toEqual({
      kind: 'event',
      type: 'issues.opened',
      id: guid,
      tenant: 'github',
      json: text,
      payload: body,
    })
  })

  it.each([
    ['push', {}, 'push'],
    ['ping', { zen: 'Design for failure.', hook_id: 1 }, 'ping'],
    ['pull_request', { action: 'review_requested' }, 'pull_request.review_requested'],
    ['issues', { action: '' }, 'issues'],
    ['issues', { action: null }, 'issues'],
    ['issues', { action: ['opened'] }, 'issues'],
    ['a.b', { action: 'c.d' }, 'a_b.c_d'],
    ['é:*', {}, '___'],
    ['x'.repeat(500), { action: 'y'.repeat(500) }, `${'x'.repeat(64)}.${'y'.repeat(64)}`],
  ])('names the event %s %j', (event, more, type) => {
    expect(eventOf(parse(more, { 'x-github-event': event })).type).toBe(type)
  })

  it.each([
    [{ organization: { login: 'github' } }, 'github'],
    [{ repository: { owner: { login: 'octocat' } } }, 'octocat'],
    // In a push the owner has a name, and in old ones no login.
    [{ repository: { owner: { name: 'octocat' } } }, 'octocat'],
    [{ organization: {}, repository: { owner: { login: 'octocat' } } }, 'octocat'],
    [{ organization: { login: 7 }, repository: null }, undefined],
    [{ organization: null, repository: { owner: null } }, undefined],
    [{ organization: 'github', repository: 'octocat/hello' }, undefined],
    [{}, undefined],
  ])('knows whose %j is', (more, tenant) => {
    expect(eventOf(parse(more)).tenant).toBe(tenant)
  })

  it.each([formType, `${formType}; charset=utf-8`, formType.toUpperCase()])('reads a form sent as %s', (type) => {
    expect(eventOf(parse(docForm, { 'content-type': type }))).toMatchObject({
      json: '{"zen":"Keep it logically awesome."}',
      payload: { zen: 'Keep it logically awesome.' },
    })
  })

  it.each([undefined, 'text/plain', 'application/json; charset=utf-8', 'APPLICATION/JSON'])(
    'reads JSON that is sent as %s',
    (type) => {
      expect(eventOf(parse(body, { 'content-type': type })).type).toBe('issues.opened')
    },
  )

  it('drops a byte order mark from what is stored', () => {
    expect(eventOf(parse(`\ufeff${JSON.stringify(body)}`)).json).toBe(JSON.stringify(body))
  })

  it('gives each field its own meaning, __proto__ too', () => {
    const { payload, type } = eventOf(parse('{"__proto__":{"action":"evil","polluted":1},"constructor":1}'))
    expect(Object.keys(payload as object)).toEqual(['__proto__', 'constructor'])
    expect(type).toBe('issues')
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
  })

  it('hashes a GUID that is none, and does without one', () => {
    const odd = eventOf(parse(body, { 'x-github-delivery': `a b:${'x'.repeat(9_000)}` })).id
    expect(odd).toMatch(/^[\w-]{43}$/)
    const [none, twice] = [undefined, [guid, guid]].map(
      (given) => eventOf(parse(body, { 'x-github-delivery': given })).id,
    )
    expect(none).toMatch(/^[\w-]{43}$/)
    expect(twice).toBe(none)
    expect(eventOf(parse({ ...body, more: 1 }, { 'x-github-delivery': undefined })).id).not.toBe(none)
  })

  const json = { 'content-type': 'application/json' }
  const form = { 'content-type': formType }
  it.each<[string, string | Buffer, HookHeaders]>([
    ['nothing', '', json],
    ['null', 'null', json],
    ['an array', '[{"action":"opened"}]', json],
    ['a text', '"opened"', json],
    ['a number', '7', json],
    ['half of it', '{"action":', json],
    ['two of them', '{}{}', json],
    ['invalid UTF-8', Buffer.from('7b2261223a22fffe227d', 'hex'), json],
    ['UTF-16', Buffer.from('{}', 'utf16le'), json],
    ['201 levels', `${'{"a":'.repeat(201)}1${'}'.repeat(201)}`, json],
    ['100,000 levels', '['.repeat(100_000), json],
    ['an empty form', '', form],
    ['a form with another field', 'body=%7B%7D', form],
    ['a form with two payloads', 'payload=%7B%7D&payload=%7B%7D', form],
    ['a form with an empty payload', 'payload=', form],
    ['a form with an array', 'payload=%5B%5D', form],
    ['a form sent as JSON', docForm, json],
    ['no event name', '{}', { ...json, 'x-github-event': undefined }],
    ['an empty event name', '{}', { ...json, 'x-github-event': '' }],
    ['two event names', '{}', { ...json, 'x-github-event': ['issues', 'push'] }],
  ])('cannot read %s, and says so', (_name, raw, headers) => {
    expect(parse(raw, headers)).toEqual({ kind: 'unreadable', id: guid, reason: expect.stringMatching(/\w/) })
  })

  it('reads 200 levels', () => {
    expect(parse(`${'{"a":'.repeat(200)}1${'}'.repeat(200)}`).kind).toBe('event')
  })
})
