import { describe, expect, it } from 'vitest'
import { createJobIds } from '../../src/jobs/job-id.ts'

describe('createJobIds', () => {
  it('makes ids that are unique over 100,000 in one millisecond', () => {
    const next = createJobIds(() => 1_700_000_000_000)
    expect(new Set(Array.from({ length: 100_000 }, next)).size).toBe(100_000)
  })

  it('makes ids that are unique across processes that count alike', () => {
    const ids = Array.from({ length: 1_000 }, () => createJobIds(() => 1_700_000_000_000)())
    expect(new Set(ids).size).toBe(1_000)
  })

  it('makes ids that BullMQ accepts: no integer, no colon', () => {
    const next = createJobIds()
    for (const id of Array.from({ length: 1_000 }, next)) expect(id).toMatch(/^j[0-9a-z]{8}[0-9A-Za-z]{6}[0-9a-z]{4}$/)
  })

  it('makes ids that sort by time, within a millisecond by their order', () => {
    let now = 1_700_000_000_000
    const next = createJobIds(() => now)
    const ids: string[] = []
    for (; now < 1_700_000_000_100; now += 1) ids.push(...Array.from({ length: 50 }, next))
    expect([...ids].sort()).toEqual(ids)
  })

  it('makes ids of which those of a later process sort later', () => {
    const [earlier, later] = [createJobIds(() => 1_700_000_000_000), createJobIds(() => 1_700_000_000_001)]
    const first = Array.from({ length: 100 }, earlier)
    expect(first.every((id) => id < later())).toBe(true)
  })

  it('makes ids that sort for as long as a time has eight digits', () => {
    const [now, year2059] = [createJobIds(), createJobIds(() => 36 ** 8 - 1)]
    expect(now() < year2059()).toBe(true)
  })
})
