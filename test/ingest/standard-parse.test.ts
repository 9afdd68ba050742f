import { describe, expect, it } from 'vitest'
import { standard } from '../../src/ingest/standard.ts'
import { eventOf, type HookHeaders, hookRequest } from '../harness/hook-request.ts'

const id = 'msg_p5jXN8AQM9LWM0D4loKWxJek'
const time = 1_614_265_330

function parse(given: unknown, headers: HookHeaders = { 'webhook-id': id, 'webhook-timestamp': String(time) }) {
  const raw = typeof given === 'string' || Buffer.isBuffer(given) ? given : JSON.stringify(given)
  return standard.parse(hookRequest(raw, { 'content-type': 'application/json', ...headers }))
}

describe('meaning', () => {
  it('finds an event and its id, and keeps its text as it came', () => {
    const payload = { type: 'invoice.paid', timestamp: '2022-11-03T20:26:10.344522Z', data: { id: 1 } }
    const text = JSON.stringify(payload, null, 2)
    const expected = { kind: 'event', type: 'invoice.paid', id, tenant: undefined, json: text, payload }
    expect(parse(text)).toEqual(expected)
    expect(parse(text, { 'svix-id': id, 'svix-timestamp': String(time), 'svix-signature': 'v1,x' })).toEqual(expected)
  })

  it.each([undefined, null, '', 7, {}, [], '.', '...'])('calls an event of the type %j just that', (type) => {
    expect(eventOf(parse({ type })).type).toBe('event')
  })

  it('hashes an id that is fit for no key', () => {
    for (const odd of ['a b', 'x'.repeat(65), 'é', 'a:b']) {
      const found = eventOf(parse({}, { 'webhook-id': odd })).id
      expect(found).toMatch(/^[\w-]{43}$/)
      expect(eventOf(parse({ other: 1 }, { 'webhook-id': odd })).id).toBe(found)
    }
  })

  it('drops a byte order mark, and takes __proto__ for a field', () => {
    const parsed = eventOf(parse('\ufeff{"__proto__":{"type":"evil"}}'))
    expect(parsed).toMatchObject({ type: 'event', json: '{"__proto__":{"type":"evil"}}' })
  })

  it.each<[string, string | Buffer]>([
    ['nothing', ''],
    ['null', 'null'],
    ['an array', '[{"type":"a"}]'],
    ['a text', '"a"'],
    ['half of it', '{"type":'],
    ['a form', 'type=a'],
    ['invalid UTF-8', Buffer.from('7b2261223a22fffe227d', 'hex')],
    ['100,000 levels', '['.repeat(100_000)],
  ])('cannot read %s, and says so', (_name, raw) => {
    expect(parse(raw)).toEqual({ kind: 'unreadable', id, reason: expect.stringMatching(/\w/) })
    expect(parse(raw, {})).toMatchObject({ kind: 'unreadable', id: expect.stringMatching(/^[\w-]{43}$/) })
  })
})
