import { describe, expect, it } from 'vitest'
import type { Parsed } from '../../src/ingest/request.ts'
import { slack } from '../../src/ingest/slack.ts'
import {
  command,
  docTime,
  envelope,
  eventOf,
  type HookHeaders,
  hookRequest,
  parseForm,
  parseJson,
} from '../harness/hook-request.ts'

/* What nobody should send, and somebody will: it is understood, or kept as unreadable, and never throws. */

describe('what cannot be read', () => {
  it.each([
    ['payload twice', 'payload=%7B%7D&payload=%7B%7D', 'a form with several payloads'],
    ['payload that is no JSON', 'payload=x', 'the form field payload is not JSON'],
    ['payload without a type', 'payload=%7B%7D', 'an interaction without a type'],
    ['payload null', 'payload=null', 'the form field payload is not a JSON object'],
    ['payload list', 'payload=%5B%5D', 'the form field payload is not a JSON object'],
    ['empty payload', 'payload=', 'the form field payload is not JSON'],
    ['nothing known', 'a=1', 'a form without command or payload'],
    ['empty command', 'command=', 'a form without command or payload'],
    ['nothing', '', 'a form without command or payload'],
  ])('cannot read a form with %s', (_name, body, reason) => {
    expect(parseForm(body)).toMatchObject({ kind: 'unreadable', reason })
  })

  it.each([
    ['null', 'the body is not a JSON object'],
    ['[]', 'the body is not a JSON object'],
    ['"text"', 'the body is not a JSON object'],
    ['17', 'the body is not a JSON object'],
    ['true', 'the body is not a JSON object'],
    ['{', 'the body is not JSON'],
    ['', 'the body is not JSON'],
    ["{'a':1}", 'the body is not JSON'],
    ['{"type":"event_callback"}garbage', 'the body is not JSON'],
    ['{}', 'no known Slack request: type undefined'],
    ['{"type":null}', 'no known Slack request: type null'],
    ['{"type":"new_thing"}', 'no known Slack request: type "new_thing"'],
    ['{"type":"__proto__"}', 'no known Slack request: type "__proto__"'],
  ])('cannot read %j', (body, reason) => {
    expect(parseJson(body)).toMatchObject({ kind: 'unreadable', reason })
  })

  it('cannot read what is not UTF-8, whatever it calls itself', () => {
    const utf16 = Buffer.from(JSON.stringify(envelope), 'utf16le')
    const invalid = Buffer.concat([
      Buffer.from('{"type":"event_callback","x":"'),
      Buffer.from([0xff]),
      Buffer.from('"}'),
    ])
    for (const body of [invalid, Buffer.concat([Buffer.from([0xff, 0xfe]), utf16])])
      expect(slack.parse(hookRequest(body, { 'content-type': 'application/json; charset=utf-16' }))).toMatchObject({
        kind: 'unreadable',
        reason: 'the body is not UTF-8',
      })
  })
})

describe('odd JSON', () => {
  it('reads NUL, lone surrogates and large numbers', () => {
    const text =
      '{"type":"event_callback","event_id":"Ev1","n":12345678901234567890,"event":{"type":"x","text":"\\u0000 \\ud800 \\udc00"}}'
    expect(eventOf(parseJson(text))).toMatchObject({ id: 'Ev1', json: text })
  })

  it('takes the last of duplicate keys, for everything alike', () => {
    const text =
      '{"type":"url_verification","type":"event_callback","event_id":"Ev1","event_id":"Ev2","event":{"type":"x"}}'
    expect(eventOf(parseJson(text))).toMatchObject({ type: 'x', id: 'Ev2' })
  })

  it('is not led astray by __proto__', () => {
    const text =
      '{"type":"event_callback","event_id":"Ev1","__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},' +
      '"event":{"type":"x","__proto__":{"polluted":1}}}'
    const parsed = eventOf(parseJson(text))
    expect(parsed).toMatchObject({ type: 'x', id: 'Ev1' })
    const posted = eventOf(parseForm(`command=%2Fx&__proto__=polluted&constructor=c&trigger_id=1.2.x`))
    expect(posted).toMatchObject({ type: 'command.x', id: '1.2.x' })
    for (const payload of [parsed.payload, posted.payload]) {
      expect(Object.getPrototypeOf(payload)).toBe(Object.prototype)
      expect(Object.hasOwn(payload as object, '__proto__')).toBe(true)
    }
    expect(({} as Record<string, unknown>).polluted).toBeUndefined()
    // A type that only the prototype has is none.
    expect(parseJson('{"__proto__":{"type":"event_callback","event":{"type":"x"}}}').kind).toBe('unreadable')
  })

  const deep = '['.repeat(100_000) + ']'.repeat(100_000)
  it.each([
    ['the body', deep],
    ['the type', `{"type":${deep}}`],
    ['the event', `{"type":"event_callback","event_id":"Ev1","event":{"type":"x","a":${deep}}}`],
    ['the id', `{"type":"event_callback","event_id":${deep},"event":{"type":"x"}}`],
    ['the team', `{"type":"event_callback","team_id":${deep},"event":{"type":"x"}}`],
    ['the challenge', `{"type":"url_verification","challenge":${deep}}`],
    ['the team of a rate limit', `{"type":"app_rate_limited","team_id":${deep}}`],
  ])('survives 100,000 levels in %s', (_name, body) => {
    expect(['event', 'unreadable']).toContain(parseJson(body).kind)
  })

  it.each(['{"toString":1}', '{"toString":null,"valueOf":null}', '{"toJSON":1}'])(
    'does not stumble over %s where a text belongs',
    (odd) => {
      for (const body of [
        `{"type":${odd}}`,
        `{"type":"app_rate_limited","team_id":${odd},"minute_rate_limited":${odd}}`,
        `{"type":"event_callback","team_id":${odd},"event_id":${odd},"event":{"type":"x","subtype":${odd}}}`,
      ])
        expect(['event', 'unreadable']).toContain(parseJson(body).kind)
    },
  )
})

describe('the id of an event', () => {
  it.each([
    ['missing', undefined],
    ['empty', ''],
    ['a number', 12],
    ['null', null],
    ['an object', { a: 1 }],
    ['huge', 'E'.repeat(100_000)],
    ['65 characters', 'E'.repeat(65)],
    ['with a line break', 'Ev1\r\nX-Injected: 1'],
    ['with a colon', 'Ev:1'],
    ['not ASCII', 'Évènement'],
    ['a lone surrogate', '\ud800'],
  ])('makes an id that fits a header of one that is %s', (_name, given) => {
    const made = eventOf(parseJson({ ...envelope, event_id: given }))
    expect(made.id).toMatch(/^[\w.-]{1,64}$/)
    expect(eventOf(parseJson({ ...envelope, event_id: given })).id).toBe(made.id)
    expect(eventOf(parseJson({ ...envelope, event_id: 'other', token: 'x' })).id).not.toBe(made.id)
  })

  it.each(['Ev0AAAAAA1', 'E'.repeat(64), '1.2-3_4'])('keeps the id %j', (given) => {
    expect(eventOf(parseJson({ ...envelope, event_id: given })).id).toBe(given)
  })

  it('without an id, tells requests apart by all that was signed', () => {
    const at = (seconds: number) => ({ 'x-slack-request-timestamp': String(seconds) })
    const { trigger_id: _none, ...untriggered } = command
    const closed = { payload: JSON.stringify({ type: 'view_closed', team: { id: 'T1' } }) }
    for (const make of [
      (headers: HookHeaders, more = '') => parseForm({ ...untriggered, text: more }, headers),
      (headers: HookHeaders, more = '') => parseForm({ ...closed, more }, headers),
      (headers: HookHeaders, more = '') => parseJson(`null${more}`, headers),
    ]) {
      const id = (parsed: Parsed) => (parsed.kind === 'answer' ? '' : parsed.id)
      const first = id(make(at(docTime)))
      expect(first).toMatch(/^[\w.-]{1,64}$/)
      expect(id(make(at(docTime)))).toBe(first)
      expect(id(make(at(docTime + 1)))).not.toBe(first)
      expect(id(make(at(docTime), ' '))).not.toBe(first)
    }
  })

  it('does not take the timestamp into the id of an event, which changes with each retry', () => {
    const at = (seconds: number) => ({ 'x-slack-request-timestamp': String(seconds) })
    for (const given of ['Ev1', 'E'.repeat(65)]) {
      const body = { ...envelope, event_id: given }
      expect(eventOf(parseJson(body, at(docTime))).id).toBe(eventOf(parseJson(body, at(docTime + 300))).id)
    }
  })
})
