import { describe, expect, it } from 'vitest'
import { Pace, parseRate } from '../../src/policy/rate.ts'

describe('a rate', () => {
  it.each([
    ['50/s', 50],
    ['600/m', 10],
    ['36/h', 0.01],
  ])('%s is %f a second', (text, perSecond) => {
    expect(parseRate(text)).toBeCloseTo(perSecond)
  })
  it.each(['50', '0/s', '-1/s', '1.5/s', '50/d', '50 / s', ''])('%j is none', (text) => {
    expect(parseRate(text)).toBeUndefined()
  })
})

describe('a pace', () => {
  it('lets one go at once, and then no more than its rate', () => {
    const pace = new Pace(10, 0)
    let taken = 0
    for (let now = 0; now <= 2_000; now += 50) taken += pace.take(50, now)
    expect(taken).toBe(21)
  })

  it('does not make up for a pause by more than a second’s worth', () => {
    const pace = new Pace(10, 0)
    expect(pace.take(100, 3_600_000)).toBe(10)
    expect(pace.take(100, 3_600_000)).toBe(0)
  })

  it('gives no more than is asked for, and keeps slow rates exactly', () => {
    expect(new Pace(1_000, 0).take(50, 1_000)).toBe(50)
    const slow = new Pace(1 / 60, 0)
    let taken = 0
    for (let now = 0; now <= 600_000; now += 1_000) taken += slow.take(50, now)
    expect([10, 11]).toContain(taken)
  })
})
