import { expect, it } from 'vitest'
import { runFault } from './fault.ts'
import type { FaultName } from './faults.ts'

/*
 * Every process is killed with -9 while events come in. Whatever had its 2xx has been done afterwards; only what a killed
 * worker had in hand may have been done twice. A killed worker's jobs come back when their lock has run out: 30 s + 10 s.
 * What the store and the disk can do is in store-faults.test.ts; many rounds of all of it are `npm run chaos`.
 */
const killed: FaultName[] = ['server', 'worker', 'redis', 'keeper', 'both', 'everything']

it.each(killed)(
  'kill -9 of the %s under load loses nothing that was acknowledged',
  { timeout: 120_000 },
  async (fault) => {
    const account = await runFault(fault)
    expect(account).toMatchObject({ lost: [], doubled: [], ranTwice: 0, refused: 0 })
    expect(account.acknowledged).toBeGreaterThan(100)
    expect(account.found).toBe(account.acknowledged)
  },
)
