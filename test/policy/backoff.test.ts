import { describe, expect, it } from 'vitest'
import { backoffMs } from '../../src/policy/backoff.ts'

const policy = { attempts: 8, baseMs: 1_000, maxMs: 60_000, jitter: 0 }
const never = () => {
  throw new Error('chance was asked')
}

describe('backoffMs', () => {
  it('doubles from the base up to the cap', () => {
    const waits = [1, 2, 3, 4, 5, 6, 7, 8].map((failures) => backoffMs(policy, failures, () => 0.9))
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
  })

  it('takes away the share that is left to chance, and no more', () => {
    const half = { ...policy, jitter: 0.5 }
    expect(backoffMs(half, 3, () => 0)).toBe(4_000)
    expect(backoffMs(half, 3, () => 0.5)).toBe(3_000)
    expect(backoffMs(half, 3, () => 1 - Number.EPSILON)).toBe(2_000)
    expect(backoffMs({ ...policy, jitter: 1 }, 3, () => 1 - Number.EPSILON)).toBe(0)
  })

  it('gives a whole number within its bounds, however often it failed', () => {
    const jittered = { ...policy, baseMs: 333, jitter: 0.3 }
    for (const failures of [1, 2, 9, 51, 1_024, 1_000_000])
      for (const chance of [0, 0.123, 0.999]) {
        const ms = backoffMs(jittered, failures, () => chance)
        expect(Number.isInteger(ms)).toBe(true)
        expect(ms).toBeGreaterThanOrEqual(Math.floor(Math.min(60_000, 333 * 2 ** (failures - 1)) * 0.7))
        expect(ms).toBeLessThanOrEqual(60_000)
      }
  })

  it('repeats at once where the base is nothing', () => {
    for (const failures of [1, 2_000]) expect(backoffMs({ ...policy, baseMs: 0 }, failures, () => 0)).toBe(0)
  })

  it('takes its chance from its argument alone', () => {
    expect(() => backoffMs(policy, 1, never)).toThrow('chance was asked')
  })
})
