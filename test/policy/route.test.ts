import { describe, expect, it } from 'vitest'
import { takes } from '../../src/policy/route.ts'

const event = (type: string, source = 'acme', sourceType = 'slack') => ({ source, sourceType, type })

describe('takes', () => {
  it.each([
    ['the type itself', ['slack:app_mention'], 'app_mention', true],
    ['no other type', ['slack:app_mention'], 'message', false],
    ['no longer type', ['slack:app'], 'app_mention', false],
    ['no type below it', ['slack:message'], 'message.channel_join', false],
    ['nothing without patterns', [], 'app_mention', false],
    ['everything of a source', ['slack:*'], 'message.channel_join', true],
    ['a stem itself', ['slack:message.*'], 'message', true],
    ['what is below a stem', ['slack:message.*'], 'message.channel_join', true],
    ['what is far below a stem', ['slack:pull_request.*'], 'pull_request.review.submitted', true],
    ['not what only begins like a stem', ['slack:message.*'], 'messages.x', false],
    ['not what only begins like a stem, without a dot', ['slack:message.*'], 'message_x', false],
    ['by the name of the source', ['acme:app_mention'], 'app_mention', true],
    ['nothing of another source', ['other:app_mention', 'github:*'], 'app_mention', false],
    ['not by a part of the source', ['sla:*', 'slackx:*'], 'app_mention', false],
    ['by any of several', ['slack:message', 'slack:app_mention'], 'app_mention', true],
    ['but what is excluded', ['slack:*', '!slack:message.*'], 'message.channel_join', false],
    ['the rest', ['slack:*', '!slack:message.*'], 'app_mention', true],
    ['exclusions in any order', ['!slack:message', 'slack:*'], 'message', false],
    ['exclusions by the name of the source', ['slack:*', '!acme:*'], 'message', false],
    ['nothing by exclusions alone', ['!slack:message'], 'app_mention', false],
    ['types with a colon in them', ['slack:a:b'], 'a:b', true],
    ['no pattern as a regular expression', ['slack:a.b'], 'a_b', false],
  ])('takes %s', (_what, on, type, expected) => {
    expect(takes(on, event(type))).toBe(expected)
  })

  it('keeps apart two sources of one type', () => {
    const on = ['sales:message']
    expect(takes(on, event('message', 'sales'))).toBe(true)
    expect(takes(on, event('message', 'support'))).toBe(false)
  })
})
