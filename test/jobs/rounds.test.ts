import { expect, it } from 'vitest'
import { startRounds } from '../../src/jobs/rounds.ts'
import { until } from '../harness/until.ts'

it('begins no round before the last one has ended, and waits for it at the end', async () => {
  let begun = 0
  let ended = 0
  let go = () => {}
  const rounds = startRounds(1, async () => {
    begun += 1
    await new Promise<void>((resolve) => {
      go = resolve
    })
    ended += 1
  })
  for (let round = 1; round <= 3; round += 1) {
    await until(() => begun === round, `round ${round} has begun`)
    expect(ended).toBe(round - 1)
    if (round < 3) go()
  }
  let isStopped = false
  const stopped = rounds.stop().then(() => {
    isStopped = true
  })
  await new Promise(setImmediate)
  expect(isStopped).toBe(false)
  go()
  await stopped
  expect([begun, ended]).toEqual([3, 3])
})
