import { describe, expect, it } from 'vitest'
import { type Duration, durationMs, formatDuration, parseDuration } from '../../src/define/duration.ts'
import { MillraceError } from '../../src/errors.ts'

describe('parseDuration', () => {
  it.each([
    ['0ms', 0],
    ['250ms', 250],
    ['1.5s', 1_500],
    ['30s', 30_000],
    ['10m', 600_000],
    ['1h', 3_600_000],
    ['14d', 14 * 86_400_000],
    ['0.4ms', 0], // whole milliseconds: timers know no others
    ['0.5ms', 1],
  ])('reads %s', (text, ms) => {
    expect(parseDuration(text)).toBe(ms)
  })

  it.each(['', '30', 's', '-1s', '+1s', '1 s', ' 1s', '1s ', '1S', '1e3s', '.5s', '1.s', '1,5s', '1w', '1s2', '0x1s'])(
    'takes %j for none',
    (text) => {
      expect(parseDuration(text)).toBeUndefined()
    },
  )

  it('takes what no number holds exactly for none', () => {
    expect(parseDuration(`${'9'.repeat(20)}ms`)).toBeUndefined()
    expect(parseDuration(`${'9'.repeat(400)}d`)).toBeUndefined()
  })
})

describe('durationMs', () => {
  it.each([['30'], ['-1s'], [30], [undefined], [null]])('refuses %j, and says where and what to write', (value) => {
    const attempt = () => durationMs(value as Duration, "queue 'q': retry.base")
    expect(attempt).toThrow(MillraceError)
    expect(attempt).toThrow(
      `queue 'q': retry.base is ${JSON.stringify(value)}; write a duration such as '30s' or '10m'`,
    )
    expect(attempt).toThrow(expect.objectContaining({ code: 'invalid-definition' }))
  })
})

describe('formatDuration', () => {
  it.each([
    [0, '0ms'],
    [999, '999ms'],
    [1_000, '1s'],
    [1_500, '1.5s'],
    [90_000, '1.5m'],
    [3_600_000, '1h'],
    [14 * 86_400_000, '14d'],
    [0.4, '0ms'],
  ])('writes %d ms as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text)
  })

  it('is read back by parseDuration, exactly where one digit is enough', () => {
    for (const text of ['1ms', '59s', '2.5m', '23.5h', '100d'])
      expect(formatDuration(parseDuration(text) ?? Number.NaN)).toBe(text)
  })
})
