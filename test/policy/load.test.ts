import { expect, it } from 'vitest'
import { TenantLoad } from '../../src/policy/load.ts'

const minute = 60_000

it('finds who sends well above the average', () => {
  const load = new TenantLoad(minute)
  load.add('loud', 10_000, 0)
  for (const quiet of ['a', 'b', 'c']) load.add(quiet, 100, 0)
  expect(load.isHeavy('loud', 1)).toBe(true)
  expect(['a', 'b', 'c', 'unknown'].some((tenant) => load.isHeavy(tenant, 1))).toBe(false)
})

it('holds nothing against one that is alone, or those that send alike', () => {
  const load = new TenantLoad(minute)
  load.add('a', 1e9, 0)
  expect(load.isHeavy('a', 1)).toBe(false)
  load.add('b', 1e9, 1)
  expect([load.isHeavy('a', 2), load.isHeavy('b', 2)]).toEqual([false, false])
})

it('forgets: half of it in each half-life, and those who have gone altogether', () => {
  const load = new TenantLoad(minute)
  load.add('then', 1_000, 0)
  load.add('now', 400, 0)
  expect(load.isHeavy('then', 0)).toBe(false)
  load.add('then', 1_000, 0)
  expect(load.isHeavy('then', 0)).toBe(true)
  load.add('now', 1_000, 2 * minute)
  expect(load.isHeavy('then', 2 * minute)).toBe(false)
  expect(load.isHeavy('now', 100 * minute)).toBe(false)
})
