import { describe, expect, it } from 'vitest'
import { decide, type Ended } from '../../src/policy/decide.ts'
import { mostAttempts, namesOf, retryFor } from '../../src/policy/retry-for.ts'

class PaymentError extends Error {}
class CardDeclined extends PaymentError {}
class Expired extends CardDeclined {
  readonly code = 'card_expired'
}

const common = { attempts: 3, baseMs: 1_000, maxMs: 60_000, jitter: 0 }
const slow = { ...common, baseMs: 30_000 }
const long = { ...common, attempts: 9 }
const policy = (on: Record<string, typeof common | 'never'>) => ({ ...common, on: new Map(Object.entries(on)) })

describe('the names of an error', () => {
  it('are its own class, those it extends, and its code', () => {
    expect(namesOf(new Expired('no'))).toEqual(['Expired', 'CardDeclined', 'PaymentError', 'Error', 'card_expired'])
  })

  it('begin with a name that it was given', () => {
    expect(namesOf(Object.assign(new PaymentError('no'), { name: 'LimitReached' }))).toEqual([
      'LimitReached',
      'PaymentError',
      'Error',
    ])
    expect(namesOf(new DOMException('no', 'TimeoutError'))).toEqual(['TimeoutError', 'DOMException', 'Error', '23'])
  })

  it('do not come from what caused it', () => {
    expect(namesOf(new Error('no', { cause: new CardDeclined() }))).toEqual(['Error'])
  })

  it.each([
    [{ code: 23505 }, ['23505']],
    [Object.create(null), []],
    ['ECONNRESET', []],
    [null, []],
    [undefined, []],
  ])('of %o are %j', (thrown, names) => {
    expect(namesOf(thrown)).toEqual(names)
  })
})

describe('what holds for an error', () => {
  it("is the queue's own where it knows none of the names", () => {
    const own = policy({ TypeError: 'never' })
    expect(retryFor(new CardDeclined(), own)).toBe(own)
    expect(retryFor('a text', own)).toBe(own)
  })

  it('is what its class says, before those that this extends, before its code', () => {
    const all = policy({ card_expired: long, Error: common, PaymentError: slow, Expired: 'never' })
    expect(retryFor(new Expired(), all)).toBe('never')
    expect(retryFor(new CardDeclined(), all)).toBe(slow)
    expect(retryFor(new TypeError(), all)).toBe(all.on.get('Error'))
    expect(retryFor(new Expired(), policy({ card_expired: long }))).toBe(long)
    expect(retryFor({ code: 'card_expired' }, policy({ card_expired: 'never' }))).toBe('never')
  })

  it('allows as many attempts as the most patient of all', () => {
    expect(mostAttempts(policy({ A: 'never', B: long }))).toBe(9)
    expect(mostAttempts(policy({ A: 'never' }))).toBe(3)
    expect(mostAttempts(policy({}))).toBe(3)
  })
})

describe('decide, by the error', () => {
  const decideAt = (attempt: number, error: unknown) => {
    const ended: Ended = { kind: 'failed', error }
    return decide(ended, attempt, policy({ PaymentError: 'never', ECONNREFUSED: { ...slow, attempts: 5 } }), () => 0)
  }
  const refused = Object.assign(new Error('refused'), { code: 'ECONNREFUSED' })

  it('buries at once what is never to be repeated', () => {
    expect(decideAt(1, new CardDeclined('declined'))).toEqual({ do: 'bury', reason: 'declined' })
  })

  it('waits and counts by its own numbers', () => {
    expect(decideAt(1, refused)).toEqual({ do: 'retry', inMs: 30_000 })
    expect(decideAt(4, refused)).toEqual({ do: 'retry', inMs: 60_000 })
    expect(decideAt(5, refused)).toEqual({ do: 'bury', reason: 'refused' })
    expect(decideAt(3, new Error('other'))).toEqual({ do: 'bury', reason: 'other' })
  })
})

describe('decide, for a job that cannot run here and now', () => {
  const decideNow = (ended: Ended) => decide(ended, 99, policy({}), Math.random)

  it('asks for a newer worker ever more seldom, and for ever', () => {
    const waits = [0, 1, 2, 3, 4, 1_000_000].map((times) => decideNow({ kind: 'newer-version', version: 2, times }))
    expect(waits.map((decision) => 'inMs' in decision && decision.inMs)).toEqual([
      5_000, 10_000, 20_000, 40_000, 60_000, 60_000,
    ])
  })

  it('waits exactly as long as a rate limit asks, and names whose it is', () => {
    expect(decideNow({ kind: 'rate-limited', ms: 1_234, key: 'T1' })).toEqual({
      do: 'postpone',
      inMs: 1_234,
      holdKey: 'T1',
    })
  })

  it('does not ask somebody without a pause who says 0', () => {
    expect(decideNow({ kind: 'rate-limited', ms: 0, key: undefined })).toMatchObject({ do: 'postpone', inMs: 100 })
  })

  it('puts back at once what came through an open breaker', () => {
    expect(decideNow({ kind: 'breaker-open' })).toEqual({ do: 'postpone', inMs: 0 })
  })

  it('buries what has expired', () => {
    expect(decideNow({ kind: 'expired', reason: 'too late' })).toEqual({ do: 'bury', reason: 'too late' })
  })
})
