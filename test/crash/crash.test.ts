import { expect, it } from 'vitest'
import { runFault, type Target } from './fault.ts'

/*
 * Every target is killed with -9 while events come in. Whatever had its 2xx has been done afterwards; only what a killed
 * worker had in hand may have been done twice. A killed worker's jobs come back when their lock has run out: 30 s + 10 s.
 */
const targets: Target[] = ['server', 'worker', 'redis', 'keeper', 'everything']

it.each(targets)(
  'kill -9 of the %s under load loses nothing that was acknowledged',
  { timeout: 120_000 },
  async (target) => {
    const account = await runFault(target)
    expect(account.lost).toEqual([])
    expect(account.acknowledged).toBeGreaterThan(100)
    expect(account.found).toBe(account.acknowledged)
    expect(account.ranTwice - account.ranTwiceInHand).toBe(0)
  },
)
