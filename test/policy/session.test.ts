import { describe, expect, it } from 'vitest'
import type { Session, SessionChange } from '../../src/define/services.ts'
import { changedSession, emptySession, maxSessionBytes, maxTextBytes } from '../../src/policy/session.ts'

const empty = emptySession('s', 'T1', undefined, 1_000)
const change = (session: Session, what: SessionChange, more: { now?: number; user?: string } = {}) =>
  changedSession(session, what, { now: 2_000, ...more })
const user = (text: string) => ({ role: 'user', text }) as const

describe('a change of a session', () => {
  it('keeps the newest 50 messages and 20 tool runs, whether they come one by one or all at once', () => {
    const messages = Array.from({ length: 60 }, (_, i) => user(String(i)))
    const toolRuns = Array.from({ length: 30 }, (_, i) => ({ tool: String(i), ok: true, ms: 1 }))
    const atOnce = change(empty, { messages, toolRuns })
    let oneByOne = empty
    for (const message of messages) oneByOne = change(oneByOne, { messages: [message] })
    for (const run of toolRuns) oneByOne = change(oneByOne, { toolRuns: [run] })
    for (const session of [atOnce, oneByOne]) {
      expect(session.messages.map(({ text }) => Number(text))).toEqual(Array.from({ length: 50 }, (_, i) => i + 10))
      expect(session.toolRuns.map(({ tool }) => Number(tool))).toEqual(Array.from({ length: 20 }, (_, i) => i + 10))
    }
    expect([atOnce.version, oneByOne.version]).toEqual([1, 90])
  })

  it.each([
    ['plain', 'x'],
    ['of two bytes a character', 'ü'],
    ['of four', '🫖'],
    ['of half characters', '\ud83e'],
  ])('cuts a text that is too long, %s, with a mark', (_name, character) => {
    const long = character.repeat(40_000)
    const [message] = change(empty, { messages: [user(long)] }).messages
    expect(Buffer.byteLength(message?.text ?? '')).toBeLessThanOrEqual(maxTextBytes)
    expect(message?.text).toMatch(/ \[…\d+ bytes and a little more were cut\]$/)
    const exact = 'x'.repeat(maxTextBytes)
    expect(change(empty, { messages: [user(exact)] }).messages[0]?.text).toBe(exact)
  })

  it('lets the oldest messages go when the session is too large', () => {
    let session = empty
    for (let i = 0; i < 50; i += 1) session = change(session, { messages: [user(`${i} ${'"'.repeat(16_000)}`)] })
    expect(Buffer.byteLength(JSON.stringify(session))).toBeLessThanOrEqual(maxSessionBytes)
    expect(session.messages.at(-1)?.text.startsWith('49 ')).toBe(true)
    expect(session.messages.length).toBeGreaterThan(5)
  })

  it('merges data, takes fields away, and has it as it will be read', () => {
    const first = change(empty, { data: { a: 1, b: { c: new Date(0) }, __proto__x: 2 } })
    expect(first.data).toEqual({ a: 1, b: { c: '1970-01-01T00:00:00.000Z' }, __proto__x: 2 })
    expect(change(first, { data: { a: undefined, d: null } }).data).toEqual({ b: first.data.b, __proto__x: 2, d: null })
  })

  it('belongs to the first user that is named', () => {
    const first = change(empty, {}, { user: 'U1' })
    expect(change(first, {}, { user: 'U2' }).user).toBe('U1')
    expect(change(change(empty, {}), {}, { user: 'U2' }).user).toBe('U2')
  })

  it('does not look older when a clock is set back', () => {
    expect(change(change(empty, {}, { now: 5_000 }), {}, { now: 3_000 }).lastActivityAt).toBe(5_000)
  })

  it('leaves what it was given as it was', () => {
    const before = structuredClone(empty)
    change(empty, { messages: [user('x')], toolRuns: [{ tool: 't', ok: false, ms: 1, note: 'n' }], data: { a: 1 } })
    expect(empty).toEqual(before)
  })
})
