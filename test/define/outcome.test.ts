import { describe, expect, it } from 'vitest'
import { defer, drop, isDefer, isDrop } from '../../src/define/outcome.ts'

describe('defer and drop', () => {
  it('are frozen data, known from each other', () => {
    const [later, never] = [defer('30s', 'busy'), drop('gone')]
    expect([isDefer(later), isDrop(later), isDefer(never), isDrop(never)]).toEqual([true, false, false, true])
    expect(later).toMatchObject({ ms: 30_000, reason: 'busy' })
    expect(never).toMatchObject({ reason: 'gone' })
    expect([later, never].every((outcome) => Object.isFrozen(outcome))).toBe(true)
  })

  it('refuses a wait without a unit before the job is touched', () => {
    expect(() => defer('30' as '30s')).toThrow("defer() is \"30\"; write a duration such as '30s' or '10m'")
  })

  it('always has a reason to drop', () => {
    expect(drop(new Error('gone') as unknown as string).reason).toBe('Error: gone')
  })

  it.each([
    [undefined],
    [null],
    ['defer'],
    [0],
    [{ ms: 30_000, reason: 'a result of that shape' }],
    [{ reason: 'no longer there' }],
    [{ tag: 'defer' }],
    [JSON.parse(JSON.stringify(defer('1s')))],
  ])('do not take a handler’s result for an outcome: %j', (result) => {
    expect(isDefer(result) || isDrop(result)).toBe(false)
  })

  it('are known across two copies of the package in one process', () => {
    const foreign = { [Symbol.for('millrace.outcome')]: 'drop', reason: 'from another copy' }
    expect(isDrop(foreign)).toBe(true)
  })
})
