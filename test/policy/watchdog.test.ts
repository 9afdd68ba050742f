import { expect, it } from 'vitest'
import { type Look, silenceMs } from '../../src/policy/watchdog.ts'

const bound = 1_000
const look = (over: Partial<Look> = {}): Look => ({
  elapsedMs: 300,
  hasFetched: false,
  shouldFetch: true,
  waiting: () => Promise.resolve(1),
  ...over,
})

/** The silence after each of these looks. */
async function after(...looks: Partial<Look>[]): Promise<number[]> {
  const all: number[] = []
  for (const over of looks) all.push(await silenceMs(all.at(-1) ?? 0, look(over), bound))
  return all
}

it('adds up while jobs wait and nothing is fetched', async () => {
  expect(await after({}, {}, {}, {})).toEqual([300, 600, 900, 1_200])
})

it('ends with a fetch, and with everything that is a reason not to', async () => {
  expect(await after({}, { hasFetched: true }, {})).toEqual([300, 0, 300])
  expect(await after({}, { shouldFetch: false }, {})).toEqual([300, 0, 300])
})

it('counts at most half while nothing waits, or while the store does not say', async () => {
  const none = { waiting: () => Promise.resolve(0) }
  const silent = { waiting: () => Promise.resolve(undefined) }
  expect(await after({}, none, none, none, {}, {})).toEqual([300, 500, 500, 500, 800, 1_100])
  expect(await after({}, silent, silent)).toEqual([300, 500, 500])
})

it('asks the store only when the silence is long', async () => {
  let asked = 0
  const waiting = async () => (asked += 1)
  await after({ waiting })
  expect(asked).toBe(0)
  await after({ waiting }, { waiting })
  expect(asked).toBe(1)
})
