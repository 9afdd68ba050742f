import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../../src/config.ts'
import { type Accepted, accept, pack, unpack } from '../../src/ingest/accepted.ts'
import { providerOf } from '../../src/ingest/providers.ts'
import { Sources } from '../../src/ingest/sources.ts'
import { createLogger } from '../../src/observe/log.ts'
import { formType, type HookHeaders, hookRequest } from '../harness/hook-request.ts'
import { githubHeaders, githubSecret } from '../harness/signed.ts'
import { mention, signedHeaders } from '../harness/slack.ts'

const run = { seed: 20_240_607, numRuns: 3_000 }
const text = fc.string({ unit: 'binary', maxLength: 60 })
const bytes = fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array))

/** The fields that say nothing of the body. Optional ones are there or not, as accept() has them. */
const fields = fc.record(
  {
    source: text,
    sourceType: fc.constantFrom('slack', 'github', 'stripe', 'standard', 'hmac'),
    dedupeWindowMs: fc.nat(),
    keepRaw: fc.boolean(),
    id: text,
    alias: text,
    tenant: fc.option(text, { nil: undefined }),
    contentType: fc.option(text, { nil: undefined }),
    receivedAt: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
  },
  { requiredKeys: ['source', 'sourceType', 'dedupeWindowMs', 'keepRaw', 'id', 'tenant', 'contentType', 'receivedAt'] },
)
const object = fc.dictionary(text, fc.jsonValue())
const jsonText = fc.tuple(object, fc.constantFrom(0, 2)).map(([value, indent]) => JSON.stringify(value, null, indent))

/** Three kinds: the text is the body, the text was taken out of the body, and there is no text. */
const accepted: fc.Arbitrary<Accepted> = fc.oneof(
  fc.record({ fields, type: text, json: jsonText }).map(({ fields, type, json }) => {
    return { ...fields, type, reason: undefined, json, payload: JSON.parse(json), body: Buffer.from(json) }
  }),
  fc.record({ fields, type: text, json: jsonText, body: bytes }).map(({ fields, type, json, body }) => {
    return { ...fields, type, reason: undefined, json, payload: JSON.parse(json), body }
  }),
  fc.record({ fields, reason: text, body: bytes }).map(({ fields, reason, body }) => {
    return { ...fields, type: undefined, reason, json: undefined, payload: undefined, body }
  }),
)

/** A field that is undefined may be left out: that is how the rest of the code asks. */
const plain = (one: Accepted) => ({ ...one, body: Buffer.from(one.body) })

describe('a record', () => {
  it('gives back what was packed, whatever it was', () => {
    fc.assert(
      fc.property(accepted, (one) => {
        expect(plain(unpack(pack(one)))).toEqual(plain(one))
      }),
      run,
    )
  })

  it('is known to be none when any of it is missing, or something is behind it', () => {
    fc.assert(
      fc.property(
        accepted,
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        bytes,
        (one, share, more) => {
          const record = pack(one)
          expect(() => unpack(record.subarray(0, Math.floor(share * record.length)))).toThrow()
          if (more.length > 0) expect(() => unpack(Buffer.concat([record, more]))).toThrow()
        },
      ),
      run,
    )
    for (const none of [Buffer.alloc(0), Buffer.alloc(8), Buffer.alloc(100, 0xff), Buffer.from('{"id":"x"}')])
      expect(() => unpack(none)).toThrow()
  })

  it('holds a body once where the payload is all of it', () => {
    const [one] = fc.sample(fields, run)
    const body = Buffer.from(JSON.stringify({ text: 'x'.repeat(10_000) }))
    const json = body.toString()
    const same = { ...one, type: 't', reason: undefined, json, payload: {}, body } as Accepted
    expect(pack(same).length).toBeLessThan(11_000)
    expect(pack({ ...same, body: Buffer.concat([Buffer.from('\ufeff'), body]) }).length).toBeGreaterThan(20_000)
  })
})

describe('what is accepted', () => {
  const config = loadConfig({
    REDIS_URL: 'redis://unused',
    SOURCES: JSON.stringify({
      slack: { type: 'slack', secrets: ['s'], keepRaw: true },
      github: { type: 'github', secrets: [githubSecret], tenant: 'ours' },
    }),
  })
  const sources = new Sources({
    sources: config.sources,
    file: undefined,
    log: createLogger({ logLevel: 'silent', logFormat: 'json' }),
  })

  function accepting(name: string, body: string | Buffer, headers: HookHeaders): Accepted {
    const source = sources.get(name)
    if (!source) throw new Error(`no source ${name}`)
    const request = hookRequest(body, headers, Date.now() / 1_000)
    const parsed = providerOf(source).parse(request)
    if (parsed.kind === 'answer') throw new Error('answered')
    return accept(source, request, parsed)
  }

  it('carries what its source says, and an alias', () => {
    const time = (Date.now() / 1_000).toFixed(6)
    const event = { type: 'message', channel: 'C1', event_ts: time, user: 'U1', text: 'hi' }
    const body = mention('Ev1', { event })
    const one = accepting('slack', body, signedHeaders(body))
    expect(one).toMatchObject({
      source: 'slack',
      sourceType: 'slack',
      keepRaw: true,
      id: 'Ev1',
      alias: expect.stringMatching(/^same-/),
      tenant: 'T061EG9R6',
      dedupeWindowMs: 25 * 3_600_000,
      contentType: 'application/json',
      type: 'message',
      reason: undefined,
      json: body,
    })
    expect(unpack(pack(one))).toEqual(one)
  })

  it('belongs to its source’s tenant before any that it names itself', () => {
    const body = '{"organization":{"login":"theirs"}}'
    const one = accepting('github', body, githubHeaders(body, { guid: 'g1' }))
    expect(one).toMatchObject({ id: 'g1', tenant: 'ours', keepRaw: false, dedupeWindowMs: 3 * 86_400_000 })
    expect(one).not.toHaveProperty('alias')
    expect(unpack(pack(one))).toEqual(one)
  })

  it('has the bytes of a form beside its payload', () => {
    const body = 'payload=%7B%22zen%22%3A%22%F0%9F%8E%89%22%7D'
    const one = accepting('github', body, githubHeaders(body, { type: formType }))
    expect(one).toMatchObject({ json: '{"zen":"🎉"}', payload: { zen: '🎉' }, contentType: formType })
    const back = unpack(pack(one))
    expect(back).toEqual(one)
    expect(back.body.toString()).toBe(body)
  })

  it('has the bytes of what cannot be read, and why', () => {
    const body = Buffer.from('7b2261223a22fffe227d', 'hex')
    const one = accepting('github', body, githubHeaders(body, { guid: 'g2' }))
    const expected = { id: 'g2', type: undefined, json: undefined, payload: undefined, tenant: 'ours' }
    expect(one).toMatchObject({ ...expected, reason: 'the body is not UTF-8' })
    expect(unpack(pack(one))).toEqual(one)
    expect(unpack(pack(one)).body).toEqual(body)
  })
})
