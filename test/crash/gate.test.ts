import { describe, expect, it } from 'vitest'
import { byKey, measureFlood, mostAtOnce, proveGate, storeFaults } from './gate.ts'

/*
 * Bounds and order while workers are killed. The issue's own sizes (20,000 jobs and 10 kills; 1,000 keys of 100 jobs) take
 * minutes, most of them waiting for locks to run out: GATE_PROOF=full runs those.
 */

const isFull = process.env.GATE_PROOF === 'full'

describe.concurrent('workers that are killed', () => {
  it('never have more of a tenant in hand than it may', { timeout: 900_000 }, async () => {
    const size = isFull ? { keys: 20, each: 1_000, kills: 10 } : { keys: 20, each: 200, kills: 2 }
    const spans = await proveGate({ kind: 'tenants', failures: 0.05, ...size })
    expect(mostAtOnce(spans)).toBe(3)
    expect(spans.filter(({ end }) => end === 'done').length).toBe(size.keys * size.each)
  })

  it('keep the order of each key', { timeout: 900_000 }, async () => {
    const size = isFull ? { keys: 1_000, each: 100, kills: 10 } : { keys: 100, each: 40, kills: 2 }
    const spans = await proveGate({ kind: 'order', failures: 0.05, ...size })
    expect(mostAtOnce(spans)).toBe(1)
    for (const ofKey of byKey(spans)) {
      const done = ofKey.filter(({ end }) => end === 'done').sort((a, b) => a.to - b.to)
      expect(done.map(({ n }) => n)).toEqual(Array.from({ length: size.each }, (_, n) => n))
    }
  })
})

describe.concurrent('a store that hangs, pauses, is full, lacks its replicas and is killed', () => {
  it.each([
    ['tenants', 3, 10],
    ['order', 1, 50],
  ] as const)('lets nobody have more in hand than it may: %s', { timeout: 900_000 }, async (kind, most, keys) => {
    const size = { keys, each: (isFull ? 20_000 : 3_000) / keys }
    const spans = await proveGate({ kind, failures: 0.05, kills: 0, faults: storeFaults, workers: 2, ...size })
    expect(mostAtOnce(spans)).toBe(most)
    // Nothing ran twice either: the outages are shorter than a lock.
    expect(spans.filter(({ end }) => end === 'done')).toHaveLength(size.keys * size.each)
  })
})

it('lets quiet tenants wait no longer for one who floods the queue', { timeout: 300_000 }, async () => {
  const waits = [...(await measureFlood(isFull ? 100_000 : 3_000, 100))].sort((a, b) => a - b)
  // Twice the longest job of gate-child, and a second.
  expect(waits[98]).toBeLessThan(2 * 20 + 1_000)
})
