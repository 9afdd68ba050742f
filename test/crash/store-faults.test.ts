import { expect, it } from 'vitest'
import { runFault } from './fault.ts'
import { faults } from './faults.ts'

/* The store hangs or is full while events come in: they go to the disk, and from there to the queue, once. */

const timeout = 120_000
const nothingWrong = { lost: [], doubled: [], ranTwice: 0, ranAgain: 0, unanswered: 0 }
const boundMs = 2_000

it.each(['hang', 'full'] as const)('%s: refuses nobody, and loses nothing', { timeout }, async (fault) => {
  const account = await runFault(fault)
  expect(account).toMatchObject({ ...nothingWrong, refused: 0 })
  expect(account.viaSpool).toBeGreaterThan(100)
  expect(account.found).toBe(account.acknowledged)
})

it.skipIf(faults.disk.impossible() !== undefined)(
  'a full disk as well: refuses in time, and what was acknowledged is done',
  { timeout },
  async () => {
    const account = await runFault('disk')
    expect(account).toMatchObject(nothingWrong)
    expect(account.refused).toBeGreaterThan(100)
    expect(account.slowestRefusalMs).toBeLessThan(boundMs)
    expect(account.found).toBe(account.acknowledged)
  },
)
