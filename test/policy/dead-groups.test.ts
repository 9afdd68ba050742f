import { expect, it } from 'vitest'
import { type GroupMemory, remember } from '../../src/policy/dead-groups.ts'

const day = 86_400_000
/** What is remembered after failures at these times. */
const after = (times: readonly number[], redrivenAt?: number) =>
  times.reduce<GroupMemory | undefined>((known, at) => remember(known, { title: 't', at, redrivenAt }), undefined)

it('remembers the first and the last of a group', () => {
  expect(after([5, 7, 9])).toEqual({ title: 't', first: 5, last: 9 })
  // Seen again, in whatever order: nothing changes.
  expect(remember(after([5, 7, 9]), { title: 't', at: 7, redrivenAt: undefined })).toEqual({
    title: 't',
    first: 5,
    last: 9,
  })
})

it('says that a group has come back after a redrive, from its first failure after it', () => {
  expect(after([5, 10, 12, 13], 10)).toMatchObject({ back: 12, why: 'redriven', last: 13 })
  expect(after([5, 10], 10)).not.toHaveProperty('back')
  // Redriven once more, and back once more.
  expect(remember(after([5, 12], 10), { title: 't', at: 30, redrivenAt: 20 })).toMatchObject({ back: 30 })
})

it('says that a group has come back after a quiet time, which a night is not', () => {
  expect(after([0, 3 * day])).toMatchObject({ back: 3 * day, why: 'quiet' })
  expect(after([0, day, 2 * day, 3 * day])).not.toHaveProperty('back')
})
