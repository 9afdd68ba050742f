import { expect, it } from 'vitest'
import { runFault } from './fault.ts'
import type { FaultName } from './faults.ts'

/*
 * Every process is killed with -9 while events come in. Whatever had its 2xx has been done afterwards; only what a killed
 * worker had in hand may have been done twice. What the store and the disk can do is in store-faults.test.ts; many rounds
 * of all of it are `npm run chaos`.
 */
const title = 'kill -9 under load loses nothing that was acknowledged: %s'
const timeout = 120_000
/** Of a job that was just taken. */
const lockMs = 30_000

async function expectNothingLost(fault: FaultName): Promise<void> {
  const account = await runFault(fault)
  expect(account).toMatchObject({ lost: [], doubled: [], ranTwice: 0, refused: 0 })
  expect(account.acknowledged).toBeGreaterThan(100)
  expect(account.found).toBe(account.acknowledged)
  // What a dying store gave away without anybody hearing of it is looked for: no lock has to run out, as with a dead worker.
  if (fault === 'redis' || fault === 'both') expect(account.doneMs).toBeLessThan(lockMs)
  if (fault === 'adopt') expect(account.viaSpool).toBeGreaterThan(100)
}

it.each(['server', 'keeper'] as const)(title, { timeout }, expectNothingLost)

// At once, because they wait most of their time: a job whose worker is dead comes back when its lock has run out, after
// 30 s + 10 s.
it.concurrent.each(['worker', 'redis', 'both', 'everything', 'adopt'] as const)(title, { timeout }, expectNothingLost)
