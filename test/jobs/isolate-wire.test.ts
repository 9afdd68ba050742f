import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { isDefer, isDrop } from '../../src/define/outcome.ts'
import { isRateLimited, RateLimited } from '../../src/define/rate-limited.ts'
import { MillraceError } from '../../src/errors.ts'
import { defer, defineQueue, drop } from '../../src/index.ts'
import { pack, packLog, packResult, unpack, unpackLog, unpackResult } from '../../src/jobs/isolate-wire.ts'
import { retryFor } from '../../src/policy/retry-for.ts'

/* What crosses between processes comes out as it went in, as far as can be. structuredClone stands for the channel. */

const cross = (thrown: unknown) => unpack(structuredClone(pack(thrown)))

class PaymentError extends Error {
  code = 'declined'
  card = { last: 42 }
  callback = () => {}
}
class CardDeclined extends PaymentError {
  override name = 'CardDeclined'
}

describe('an error', () => {
  it('keeps its name, the names of its classes, code, fields, stack and cause', () => {
    const error = cross(new CardDeclined('no', { cause: new TypeError('root') })) as CardDeclined
    const classes: string[] = []
    for (let at = Object.getPrototypeOf(error); at !== Object.prototype; at = Object.getPrototypeOf(at))
      classes.push(at.constructor.name)
    expect(classes).toEqual(['CardDeclined', 'PaymentError', 'Error'])
    expect(error).toBeInstanceOf(Error)
    expect({ ...error, name: error.name, message: error.message }).toEqual({
      name: 'CardDeclined',
      message: 'no',
      code: 'declined',
      card: { last: 42 },
    })
    expect(error.stack).toContain('isolate-wire.test')
    expect(error.cause).toBeInstanceOf(TypeError)
  })

  it('is found by retry.on as in its own process', () => {
    const { retry } = defineQueue({ name: 'q', payload: z.string(), retry: { on: { PaymentError: 'never' } } })
    expect(retryFor(cross(new CardDeclined('no')), retry)).toBe('never')
    expect(retryFor(cross(new Error('other')), retry)).not.toBe('never')
  })

  it('is of its class where both sides have it', () => {
    const limited = cross(new RateLimited(7, 'api'))
    expect(isRateLimited(limited)).toBe(true)
    expect(limited).toMatchObject({ ms: 7_000, key: 'api' })
    expect(cross(new MillraceError('shed', 'full'))).toBeInstanceOf(MillraceError)
    expect(cross(new RangeError('x'))).toBeInstanceOf(RangeError)
  })

  it('may be none, or refer to itself', () => {
    expect(cross('text')).toBe('text')
    expect(cross(undefined)).toBe(undefined)
    expect(cross({ toString: () => 'an object' })).toBe('an object')
    const circle = new Error('round')
    circle.cause = circle
    expect(cross(circle)).toMatchObject({ message: 'round' })
  })
})

describe('a result', () => {
  const through = (result: unknown, onLost: (error: unknown) => void = () => {}) =>
    unpackResult(structuredClone(packResult(result)), onLost)

  it('comes as the JSON that is stored, an outcome as an outcome', () => {
    expect(through({ at: new Date(0), n: [1] })).toEqual({ at: '1970-01-01T00:00:00.000Z', n: [1] })
    expect(through(undefined)).toBe(undefined)
    expect(through(null)).toBe(null)
    const later = through(defer('1500ms', 'busy'))
    expect(isDefer(later) && [later.ms, later.reason]).toEqual([1_500, 'busy'])
    const never = through(drop('gone'))
    expect(isDrop(never) && never.reason).toBe('gone')
  })

  it('that is not JSON is lost, and that is said', () => {
    const lost: unknown[] = []
    expect(through(1n, (error) => lost.push(error))).toBe(undefined)
    expect(lost).toEqual([expect.objectContaining({ message: expect.stringContaining('BigInt') })])
  })
})

it('a log line crosses whatever it holds', () => {
  const round: Record<string, unknown> = { n: 1n, f: () => {}, err: new RangeError('far'), list: [Symbol('s')] }
  round.self = round
  const seen = unpackLog(structuredClone(packLog(round))) as Record<string, unknown>
  expect(seen).toMatchObject({ n: '1', f: undefined, list: ['Symbol(s)'] })
  expect(seen.err).toBeInstanceOf(RangeError)
})
