import { expect, it } from 'vitest'
import { describeSent, summarize } from '../../src/cli/sent.ts'
import type { Sent } from '../../src/ops/send.ts'

const stored: Sent = {
  id: 'Ev1',
  status: 200,
  duplicate: false,
  stored: 'queue',
  quarantined: false,
  ms: 4,
  error: null,
}

it('sums up: outcomes, the most frequent first, percentiles by nearest rank, and how the times are spread', () => {
  const sent = Array.from({ length: 100 }, (_, i): Sent => ({ ...stored, ms: i < 90 ? 3 : i < 99 ? 40 : 1_200.5 }))
  const more: Sent[] = [
    { ...stored, duplicate: true, ms: 3 },
    { ...stored, status: 503, stored: null, ms: 3 },
    { ...stored, status: 0, stored: null, ms: 30_000 },
  ]
  expect(
    summarize([...sent, ...more], 2),
  ).toBe(`103 sent in 2.0 s (52/s): 100 stored, 1 duplicate, 1 refused 503, 1 no answer
p50 3 ms, p90 3 ms, p99 40 ms, max 1200.5 ms
  ≤    5 ms  92  ████████████████████████████████████████
  ≤   10 ms   0
  ≤   20 ms   0
  ≤   50 ms   9  ████
  ≤  100 ms   0
  ≤  200 ms   0
  ≤  500 ms   0
  ≤ 1000 ms   0
  ≤ 2000 ms   1  █`)
})

it('measures nothing where nobody answered', () => {
  expect(summarize([{ ...stored, status: 0 }], 0.5)).toBe('1 sent in 0.5 s (2/s): 1 no answer')
})

it.each([
  [{}, '200  Ev1  4 ms  stored in the queue'],
  [{ stored: 'spool' }, '200  Ev1  4 ms  stored in the spool'],
  [{ duplicate: true }, '200  Ev1  4 ms  was in the queue already'],
  [{ stored: null }, '200  answered in 4 ms, and not stored: it is a handshake'],
])('says of %j: %s', (more, text) => {
  expect(describeSent({ ...stored, ...more })).toBe(text)
})
