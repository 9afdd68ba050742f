import { expect, it } from 'vitest'
import { Tidying } from '../../src/jobs/tidying.ts'

const keep = { age: 3_600, count: 1_000 }
const removals = (tidying: Tidying, times: number[]) =>
  times.flatMap((time, i) => (tidying.next(time).count === -1 ? [] : [i]))

it('removes at the first completion and at every 32nd of a flood', () => {
  const flood = Array.from({ length: 100 }, () => 10_000)
  expect(removals(new Tidying(keep), flood)).toEqual([0, 32, 64, 96])
})

it('removes at each completion of a slow queue', () => {
  expect(removals(new Tidying(keep), [10_000, 11_000, 12_000, 12_500, 13_000])).toEqual([0, 1, 2, 4])
})

it('removes at each completion where few or none are to be kept', () => {
  for (const count of [0, 1, 31])
    expect(removals(new Tidying({ age: 60, count }), [10_000, 10_000, 10_000])).toEqual([0, 1, 2])
})
