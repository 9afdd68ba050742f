import { UnrecoverableError } from 'bullmq'
import { describe, expect, it } from 'vitest'
import { MillraceError } from '../../src/errors.ts'
import { decide, type Ended } from '../../src/policy/decide.ts'

const policy = { attempts: 3, baseMs: 1_000, maxMs: 600_000, jitter: 0.5, on: new Map() }
const decideAt = (attempt: number, ended: Ended) => decide(ended, attempt, policy, () => 0)
const failed = (error: unknown): Ended => ({ kind: 'failed', error })

describe('decide', () => {
  it('completes what is done', () => {
    expect(decideAt(1, { kind: 'done' })).toEqual({ do: 'complete' })
  })

  it.each([1, 2])('repeats after failed attempt %d, waiting longer each time', (attempt) => {
    expect(decideAt(attempt, failed(new Error('busy')))).toEqual({ do: 'retry', inMs: 1_000 * 2 ** (attempt - 1) })
  })

  it.each([3, 4, 99])('buries after attempt %d of 3, with what went wrong', (attempt) => {
    expect(decideAt(attempt, failed(new Error('busy')))).toEqual({ do: 'bury', reason: 'busy' })
  })

  it('repeats nothing where one attempt is all', () => {
    const once = { ...policy, attempts: 1 }
    expect(decide(failed(new Error('busy')), 1, once, () => 0)).toEqual({ do: 'bury', reason: 'busy' })
  })

  it('leaves the wait to chance within the jitter', () => {
    expect(decide(failed(new Error('busy')), 2, policy, () => 0.5)).toEqual({ do: 'retry', inMs: 1_500 })
  })

  it('postpones for as long as was asked, also at the last attempt and past it', () => {
    for (const attempt of [1, 3, 99])
      expect(decideAt(attempt, { kind: 'deferred', ms: 30_000 })).toEqual({ do: 'postpone', inMs: 30_000 })
  })

  it('puts back at once what a shutdown interrupted, also at the last attempt', () => {
    expect(decideAt(3, { kind: 'interrupted' })).toEqual({ do: 'postpone', inMs: 0 })
  })

  it('buries what was dropped, at the first attempt already', () => {
    expect(decideAt(1, { kind: 'dropped', reason: 'no longer there' })).toEqual({
      do: 'bury',
      reason: 'no longer there',
    })
  })

  it('buries at once what can never fit its schema', () => {
    const misfit = new MillraceError('invalid-payload', 'stored payload of job j1: id: expected string')
    expect(decideAt(1, { kind: 'unfit', error: misfit })).toEqual({ do: 'bury', reason: misfit.message })
    // The same error of a handler's own enqueue() is an ordinary failure.
    expect(decideAt(1, failed(misfit))).toEqual({ do: 'retry', inMs: 1_000 })
  })

  it('repeats after other errors of the table: they pass', () => {
    expect(decideAt(1, failed(new MillraceError('store-unavailable')))).toEqual({ do: 'retry', inMs: 1_000 })
  })

  it('agrees with BullMQ about errors that it never repeats, also those of another copy of it', () => {
    const foreign = Object.assign(new Error('hopeless'), { name: 'UnrecoverableError' })
    for (const error of [new UnrecoverableError('hopeless'), foreign])
      expect(decideAt(1, failed(error))).toEqual({ do: 'bury', reason: 'hopeless' })
  })

  it.each([
    ['a text', 'a text'],
    [undefined, 'undefined'],
    [{ code: 1 }, '[object Object]'],
    [new TypeError(''), 'TypeError'],
  ])('has a reason for whatever was thrown: %o', (thrown, reason) => {
    expect(decideAt(3, failed(thrown))).toEqual({ do: 'bury', reason })
  })
})
