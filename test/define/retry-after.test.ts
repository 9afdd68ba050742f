import { describe, expect, it } from 'vitest'
import { isRateLimited } from '../../src/define/rate-limited.ts'
import { retryAfterMs } from '../../src/define/retry-after.ts'
import { RateLimited } from '../../src/index.ts'

const now = Date.parse('1994-11-06T08:49:07Z')

describe('a Retry-After header', () => {
  it.each([
    ['120', 120_000],
    [' 5 ', 5_000],
    ['0', 0],
    ['1.5', 1_500],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 30_000],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 30_000],
    ['Sun Nov  6 08:49:37 1994', 30_000],
    ['Sun, 06 Nov 1994 08:49:00 GMT', 0],
  ])('%j asks for %d ms', (text, ms) => {
    expect(retryAfterMs(text, now)).toBe(ms)
  })

  it.each([
    '',
    'soon',
    '-5',
    '1e3',
    '0x10',
    '30s',
    '1994-11-06T08:49:37Z',
    'Sun, 06 Nov 1994',
    'Sun, 99 Nov 1994 08:49:37 GMT',
  ])('%j is none', (text) => {
    expect(retryAfterMs(text, now)).toBeUndefined()
  })
})

describe('RateLimited', () => {
  it.each([
    [2, 2_000],
    [0.25, 250],
    [0, 0],
    ['2', 2_000],
    ['250ms', 250],
    ['2m', 120_000],
    [new Date(Date.now() - 5_000).toUTCString(), 0],
  ] as const)('new RateLimited(%j) waits %d ms', (given, ms) => {
    expect(new RateLimited(given).ms).toBe(ms)
  })

  it('reads a date against the clock', () => {
    const { ms } = new RateLimited(new Date(Date.now() + 60_000).toUTCString())
    expect(ms).toBeGreaterThan(58_000)
    expect(ms).toBeLessThanOrEqual(60_000)
  })

  it.each([null, undefined, '', 'soon', Number.NaN, -1, Number.POSITIVE_INFINITY * 0])(
    'waits half a minute for %j, and says that it could not read it',
    (given) => {
      const error = new RateLimited(given, 'api.example')
      expect(error.ms).toBe(30_000)
      expect(error.message).toMatch(/^rate limit of api\.example: again in 30s \(Retry-After .* is no time\)$/)
    },
  )

  it.each([Number.POSITIVE_INFINITY, 1e12, '99999999999', 'Fri, 31 Dec 2999 23:59:59 GMT'])(
    'waits no longer than 30 days for %j',
    (given) => {
      expect(new RateLimited(given).ms).toBe(30 * 86_400_000)
    },
  )

  it('is an error with a name, and is known again by another copy of the class', () => {
    const error = new RateLimited('30s', 'T1')
    expect(error).toBeInstanceOf(Error)
    expect(error).toMatchObject({ name: 'RateLimited', key: 'T1', message: 'rate limit of T1: again in 30s' })
    expect(isRateLimited(error)).toBe(true)
    for (const other of [new Error('RateLimited'), { name: 'RateLimited', ms: 1 }, undefined, 'RateLimited'])
      expect(isRateLimited(other)).toBe(false)
  })
})
