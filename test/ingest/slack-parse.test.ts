import { describe, expect, it } from 'vitest'
import { slack } from '../../src/ingest/slack.ts'
import {
  command,
  docBody,
  envelope,
  eventOf,
  formType,
  hookRequest,
  parseForm,
  parseJson,
} from '../harness/hook-request.ts'

describe('meaning', () => {
  it('finds an event, its id and its team, and keeps its text as it came', () => {
    const text = JSON.stringify(envelope, null, 2)
    expect(parseJson(text)).toEqual({
      kind: 'event',
      type: 'app_mention',
      id: 'Ev0AAAAAA1',
      tenant: 'T0AAAAAA1',
      json: text,
      payload: envelope,
    })
  })

  it.each([
    [{ type: 'message' }, 'message'],
    [{ type: 'message', subtype: 'channel_join' }, 'message.channel_join'],
    [{ type: 'message', subtype: '' }, 'message'],
    [{ type: 'message', subtype: null }, 'message'],
    [{ type: 'message', subtype: 7 }, 'message'],
    [{ type: 'reaction_added', item: { type: 'message' } }, 'reaction_added'],
    [{ type: 'function_executed', function_execution_id: 'Fx1', inputs: {} }, 'function_executed'],
    [{ type: 'command.deploy' }, 'command_deploy'],
    [{ type: 'a:b*c\n', subtype: '!x' }, 'a_b_c_._x'],
    [{ type: 'x'.repeat(500), subtype: 'y'.repeat(500) }, `${'x'.repeat(64)}.${'y'.repeat(64)}`],
  ])('names the event %j', (inner, type) => {
    expect(eventOf(parseJson({ ...envelope, event: inner })).type).toBe(type)
  })

  it.each([undefined, null, 'app_mention', [], {}, { type: 7 }, { type: null }])(
    'cannot read an event_callback whose event is %j',
    (inner) => {
      expect(parseJson({ ...envelope, event: inner })).toMatchObject({
        kind: 'unreadable',
        reason: 'event_callback without an event',
      })
    },
  )

  it('answers a challenge', () => {
    const challenge = '3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P'
    expect(parseJson({ type: 'url_verification', token: 'unused', challenge })).toEqual({
      kind: 'answer',
      contentType: 'text/plain',
      body: challenge,
    })
  })

  it.each([undefined, null, 7, ['x'], { a: 1 }, 'x'.repeat(257)])(
    'echoes nothing that is no challenge: %j',
    (challenge) => {
      expect(parseJson({ type: 'url_verification', challenge }).kind).toBe('unreadable')
    },
  )

  it('takes one notice of a rate limit for each team and minute', () => {
    const notice = { type: 'app_rate_limited', team_id: 'T1', minute_rate_limited: 1_518_467_820, api_app_id: 'A1' }
    const first = eventOf(parseJson(notice))
    expect(first).toMatchObject({ type: 'app_rate_limited', tenant: 'T1', payload: notice })
    // Whatever else differs, and whenever it is sent.
    expect(eventOf(parseJson({ ...notice, token: 'x' }, { 'x-slack-request-timestamp': '1' })).id).toBe(first.id)
    expect(eventOf(parseJson({ ...notice, team_id: 'T2' })).id).not.toBe(first.id)
    expect(eventOf(parseJson({ ...notice, minute_rate_limited: 1_518_467_880 })).id).not.toBe(first.id)
  })

  it('finds a slash command', () => {
    expect(parseForm(command)).toEqual({
      kind: 'event',
      type: 'command.deploy',
      id: '111.222.abc',
      tenant: 'T0AAAAAA1',
      json: JSON.stringify(command),
      payload: command,
    })
    expect(eventOf(parseForm({ command: '/Ünï.x' })).type).toBe('command._n__x')
    expect(eventOf(parseForm({ command: '/' })).type).toBe('command')
  })

  it("reads the form of Slack's documentation", () => {
    expect(slack.parse(hookRequest(docBody, { 'content-type': formType }))).toMatchObject({
      kind: 'event',
      type: 'command.webhook-collect',
      tenant: 'T1DC2JH3J',
      id: '398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c',
      payload: { text: '', channel_name: 'foobar' },
    })
  })

  it('reads more fields than some parsers do', () => {
    const many = Object.fromEntries(Array.from({ length: 1_500 }, (_, i) => [`field${i}`, String(i)]))
    expect(eventOf(parseForm({ ...many, ...command })).payload).toMatchObject({ field1499: '1499', command: '/deploy' })
  })

  it.each([
    'block_actions',
    'shortcut',
    'message_action',
    'view_submission',
    'view_closed',
    'interactive_message',
    'dialog_submission',
  ])('finds the interaction %s', (type) => {
    const payload = { type, team: { id: 'T0AAAAAA1' }, user: { id: 'U1' }, trigger_id: '333.444.def' }
    const text = JSON.stringify(payload)
    expect(parseForm({ payload: text })).toEqual({
      kind: 'event',
      type: `interaction.${type}`,
      id: '333.444.def',
      tenant: 'T0AAAAAA1',
      json: text,
      payload,
    })
  })

  it('finds an interaction of an app that belongs to no one team', () => {
    const parsed = eventOf(
      parseForm({ payload: JSON.stringify({ type: 'block_actions', team: null, trigger_id: '1.2.x' }) }),
    )
    expect(parsed.tenant).toBeUndefined()
  })

  it.each(['block_suggestion', 'dialog_suggestion'])('answers %s at once: no worker could in time', (type) => {
    const parsed = parseForm({ payload: JSON.stringify({ type, team: { id: 'T1' }, value: 'se' }) })
    expect(parsed).toEqual({ kind: 'answer', contentType: 'application/json', body: '{"options":[]}' })
  })

  it.each([
    'application/json',
    'application/json; charset=utf-8',
    'APPLICATION/JSON',
    'application/cloudevents+json',
    'text/plain',
    undefined,
  ])('reads JSON that is sent as %s', (type) => {
    expect(eventOf(parseJson(envelope, { 'content-type': type })).id).toBe('Ev0AAAAAA1')
  })

  it.each([formType, `${formType}; charset=utf-8`, formType.toUpperCase(), undefined])(
    'reads a form that is sent as %s',
    (type) => {
      expect(eventOf(parseForm(command, { 'content-type': type })).type).toBe('command.deploy')
    },
  )

  it('drops a byte order mark from what is stored', () => {
    expect(eventOf(parseJson(`\ufeff${JSON.stringify(envelope)}`)).json).toBe(JSON.stringify(envelope))
  })

  it('cares about no time inside an event: some are in microseconds, without a dot', () => {
    const odd = {
      ...envelope,
      event_time: 1_515_449_483_000_108,
      event: { type: 'app_mention', event_ts: '1515449483000108' },
    }
    expect(eventOf(parseJson(odd))).toMatchObject({ type: 'app_mention', id: 'Ev0AAAAAA1' })
    for (const time of [undefined, null, 'soon', -1])
      expect(eventOf(parseJson({ ...envelope, event_time: time })).id).toBe('Ev0AAAAAA1')
  })
})
