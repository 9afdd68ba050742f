import { describe, expect, it } from 'vitest'
import { slack } from '../../src/ingest/slack.ts'
import { envelope, eventOf, hookRequest } from '../harness/hook-request.ts'

const now = 1_700_000_000
const time = '1700000000.000100'
const hour = 3_600
const post = { type: 'message', channel: 'C1', event_ts: time, user: 'U1', text: 'hi' }

/** The second id of an event, as of `now`. */
function aliasOf(event: object, more: object = {}, at: number = now): string | undefined {
  const body = JSON.stringify({ ...envelope, ...more, event })
  const { alias } = eventOf(slack.parse(hookRequest(body, { 'content-type': 'application/json' }, at)))
  return alias
}

describe('the second id of a post', () => {
  it('is the same under another event_id, whatever else differs', () => {
    const alias = aliasOf(post)
    expect(alias).toMatch(/^same-[\w-]{43}$/)
    const other = {
      event_id: 'Ev0OTHER',
      event_time: 1,
      token: 'x',
      authorizations: [{ team_id: 'T2' }],
      event_context: '4-x',
    }
    expect(aliasOf(post, other)).toBe(alias)
    expect(aliasOf({ ...post, blocks: [], ts: time, client_msg_id: 'x' }, other)).toBe(alias)
    expect(aliasOf(post, other, now + hour)).toBe(alias)
  })

  it('is another for another team, channel, time, type, person or text', () => {
    const others = [
      { ...post, channel: 'C2' },
      { ...post, event_ts: '1700000000.000101' },
      { ...post, type: 'app_mention' },
      { ...post, subtype: 'me_message' },
      { ...post, user: 'U2' },
      { ...post, user: undefined },
      { ...post, text: 'hi ' },
      { ...post, text: undefined },
    ].map((event) => aliasOf(event))
    const all = [aliasOf(post), aliasOf(post, { team_id: 'T2' }), ...others]
    expect(new Set(all).size).toBe(10)
    expect(all).not.toContain(undefined)
  })

  it('takes nothing but texts and numbers for who and what: no object gets a say', () => {
    const odd = { toString: 'x', valueOf: null }
    expect(aliasOf({ ...post, user: odd })).toBe(aliasOf({ ...post, user: undefined }))
    expect(aliasOf({ ...post, user: 7 })).not.toBe(aliasOf({ ...post, user: undefined }))
  })

  it.each([-26 * hour + 1, -hour, 0, hour, 26 * hour - 1])('is there when the post is %i s old', (age) => {
    expect(aliasOf(post, {}, now + age)).toMatch(/^same-/)
  })

  it.each([-27 * hour, -26 * hour - 1, 26 * hour + 1, 27 * hour, 400 * 24 * hour])(
    'is not there when it is %i s old: no delivery is so late',
    (age) => {
      expect(aliasOf(post, {}, now + age)).toBeUndefined()
    },
  )

  it.each([
    ['microseconds without a dot', '1700000000000100'],
    ['no fraction', '1700000000'],
    ['a shorter fraction', '1700000000.0001'],
    ['a longer fraction', '1700000000.0001000'],
    ['white space', ` ${time}`],
    ['a line end', `${time}\n`],
    ['a number', 1_700_000_000.0001],
    ['nothing', ''],
    ['null', null],
    ['no time', undefined],
  ])('is not there with %s for event_ts', (_name, event_ts) => {
    expect(aliasOf({ ...post, event_ts })).toBeUndefined()
  })

  it.each([undefined, null, 7, { id: 'C1' }])('is not there with the channel %j', (channel) => {
    expect(aliasOf({ ...post, channel })).toBeUndefined()
  })

  it.each([undefined, null, 7])('is not there with the team %j', (team_id) => {
    expect(aliasOf(post, { team_id })).toBeUndefined()
  })

  it('is not there for what is no post', () => {
    expect(aliasOf({ type: 'team_join', event_ts: time, user: { id: 'U1' } })).toBeUndefined()
    const reaction = { type: 'reaction_added', event_ts: time, user: 'U1', item: { channel: 'C1', ts: time } }
    expect(aliasOf(reaction)).toBeUndefined()
    const notice = JSON.stringify({ type: 'app_rate_limited', team_id: 'T1', minute_rate_limited: now })
    const parsed = slack.parse(hookRequest(notice, { 'content-type': 'application/json' }, now))
    expect(parsed).not.toHaveProperty('alias')
  })
})
