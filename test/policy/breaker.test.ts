import { describe, expect, it } from 'vitest'
import { admitted, type BreakerState, closed, elapsed, ended } from '../../src/policy/breaker.ts'

const policy = { share: 0.5, least: 4, withinMs: 1_000, openMs: 500 }

/** The state after ends at one time: `x` failed, `.` went well, `-` does not count. */
function having(ends: string, now = 0, from: BreakerState = closed): BreakerState {
  return [...ends].reduce((state, end) => ended(state, 'run', end === '-' ? undefined : end === 'x', policy, now), from)
}

describe('closed', () => {
  it.each(['xxx', '...x', 'x.-.-.x.', '-----', 'x...x.'])('stays so after %s', (ends) => {
    expect(having(ends).at).toBe('closed')
  })

  it.each(['xxxx', '..xx', 'x.x.', 'x-x--x-x'])('opens after %s', (ends) => {
    expect(having(ends, 7)).toEqual({ at: 'open', until: 507 })
  })

  it('lets all run', () => {
    expect(admitted(closed)).toEqual({ state: closed, as: 'run' })
  })

  it('forgets what is longer ago than it looks back', () => {
    expect(having('x', 1_001, having('xxx', 0)).at).toBe('closed')
    expect(having('x', 999, having('xxx', 0)).at).toBe('open')
  })

  it('remembers as little after a million ends as after a few', () => {
    let state: BreakerState = closed
    for (let now = 0; now < 100_000; now++) state = ended(state, 'run', false, policy, now)
    expect(state.at === 'closed' && state.slices.length).toBeLessThanOrEqual(11)
  })

  it('opens at a share of 1 only when all fail', () => {
    const all = { ...policy, share: 1 }
    const run = (ends: string) =>
      [...ends].reduce((state, end) => ended(state, 'run', end === 'x', all, 0), closed as BreakerState).at
    expect(run('xxxx')).toBe('open')
    expect(run('.xxxxxxx')).toBe('closed')
  })
})

describe('open', () => {
  const open: BreakerState = { at: 'open', until: 500 }

  it('lets nothing run, and does not care how those end that ran before', () => {
    expect(admitted(open)).toEqual({ state: open, as: 'wait' })
    expect(having('....xxxx', 100, open)).toBe(open)
  })

  it('becomes half-open when its time is over, not before', () => {
    expect(elapsed(open, 499)).toBe(open)
    expect(elapsed(open, 500)).toEqual({ at: 'half-open', isProbing: false })
    expect(elapsed(closed, 500)).toBe(closed)
  })
})

describe('half-open', () => {
  const half: BreakerState = { at: 'half-open', isProbing: false }
  const probing: BreakerState = { at: 'half-open', isProbing: true }

  it('lets one run', () => {
    expect(admitted(half)).toEqual({ state: probing, as: 'probe' })
    expect(admitted(probing)).toEqual({ state: probing, as: 'wait' })
  })

  it('closes when that went well, with nothing counted', () => {
    expect(ended(probing, 'probe', false, policy, 900)).toEqual({ at: 'closed', slices: [] })
  })

  it('opens again when that failed', () => {
    expect(ended(probing, 'probe', true, policy, 900)).toEqual({ at: 'open', until: 1_400 })
  })

  it('tries another when that said nothing', () => {
    expect(ended(probing, 'probe', undefined, policy, 900)).toEqual(half)
  })

  it('does not care how those end that ran before', () => {
    expect(having('xxxx....', 900, probing)).toBe(probing)
  })
})
