import { describe, expect, it } from 'vitest'
import { runFault } from './fault.ts'
import { faults } from './faults.ts'

/* The store is away, hangs or is full while events come in: they go to the disk, and from there to the queue, once. */

const timeout = 120_000
const nothingWrong = { lost: [], doubled: [], ranTwice: 0, ranAgain: 0 }
const boundMs = 2_000

describe('under load', { timeout }, () => {
  it.each(['hang', 'full'] as const)('%s: refuses nobody, and loses nothing', async (fault) => {
    const account = await runFault(fault)
    expect(account).toMatchObject({ ...nothingWrong, refused: 0, unanswered: 0 })
    expect(account.viaSpool).toBeGreaterThan(100)
    expect(account.found).toBe(account.acknowledged)
  })

  it('a server that is killed with events in its spool loses none of them', async () => {
    const account = await runFault('adopt')
    expect(account).toMatchObject({ ...nothingWrong, refused: 0 })
    expect(account.viaSpool).toBeGreaterThan(100)
    expect(account.found).toBe(account.acknowledged)
  })

  it.skipIf(faults.disk.impossible() !== undefined)(
    'a full disk: refuses in time, and what was acknowledged is there',
    async () => {
      const account = await runFault('disk')
      expect(account).toMatchObject({ ...nothingWrong, unanswered: 0 })
      expect(account.refused).toBeGreaterThan(100)
      expect(account.slowestRefusalMs).toBeLessThan(boundMs)
      expect(account.found).toBe(account.acknowledged)
    },
  )
})
