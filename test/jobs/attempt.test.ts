import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Attempt, AttemptAborted } from '../../src/jobs/attempt.ts'

/* Only timers are involved, so a clock that the test moves shows exactly when what happens. */
beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const never = () => new Promise<never>(() => {})
const stopped = (because: 'shutdown' | 'lock-lost') => new AttemptAborted(because, 'stop')

/** What has become of a promise by now. */
function watch(promise: Promise<unknown>) {
  const seen: { value?: unknown; error?: unknown; at?: number } = {}
  const began = Date.now()
  promise.then(
    (value) => Object.assign(seen, { value, at: Date.now() - began }),
    (error) => Object.assign(seen, { error, at: Date.now() - began }),
  )
  return seen
}

describe('Attempt.run', () => {
  it.each([
    ['returned', () => 'result'],
    ['promised', async () => 'result'],
  ])('gives what the handler %s, and leaves no timer behind', async (_how, handle) => {
    await expect(new Attempt().run(handle, 60_000)).resolves.toBe('result')
    await vi.advanceTimersByTimeAsync(0)
    expect(vi.getTimerCount()).toBe(0)
  })

  it.each([
    [
      'threw',
      () => {
        throw new Error('broken')
      },
    ],
    ['rejected with', () => Promise.reject(new Error('broken'))],
  ])('gives what the handler %s, and leaves no timer behind', async (_how, handle) => {
    await expect(new Attempt().run(handle, 60_000)).rejects.toThrow('broken')
    await vi.advanceTimersByTimeAsync(0)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('tells the handler at the timeout, and fails with what the handler makes of it', async () => {
    const attempt = new Attempt()
    const { signal } = attempt
    const run = watch(
      attempt.run(
        () => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
        5_000,
      ),
    )
    await vi.advanceTimersByTimeAsync(4_999)
    expect([signal.aborted, run]).toEqual([false, {}])
    await vi.advanceTimersByTimeAsync(1)
    expect(signal.aborted).toBe(true)
    expect(run.error).toMatchObject({ name: 'TimeoutError', because: 'timeout', message: 'timed out after 5000 ms' })
    expect(run.at).toBe(5_000)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('fails within two seconds of the timeout when the handler does not listen', async () => {
    const run = watch(new Attempt().run(never, 5_000))
    await vi.advanceTimersByTimeAsync(7_000)
    expect(run.error).toMatchObject({ because: 'timeout' })
    expect(run.at).toBeGreaterThan(5_000)
    expect(run.at).toBeLessThanOrEqual(7_000)
  })

  it('swallows what such a handler does afterwards', async () => {
    const unhandled = vi.fn()
    process.on('unhandledRejection', unhandled)
    const late = () => new Promise((_, reject) => setTimeout(() => reject(new Error('late')), 60_000))
    const run = watch(new Attempt().run(late, 1_000))
    await vi.advanceTimersByTimeAsync(120_000)
    vi.useRealTimers()
    await new Promise((resolve) => setImmediate(resolve)) // Node tells of unhandled rejections after the turn
    process.off('unhandledRejection', unhandled)
    expect(run.error).toMatchObject({ because: 'timeout' })
    expect(unhandled).not.toHaveBeenCalled()
  })

  it('takes the result of a handler that comes to its end soon after the signal', async () => {
    const run = watch(new Attempt().run(() => new Promise((done) => setTimeout(() => done('saved'), 1_500)), 1_000))
    await vi.advanceTimersByTimeAsync(1_500)
    expect(run).toEqual({ value: 'saved', at: 1_500 })
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('Attempt.abort', () => {
  it.each(['shutdown', 'lock-lost'] as const)('gives a reason of its own: %s', async (because) => {
    const attempt = new Attempt()
    const run = watch(attempt.run(never, 60_000))
    attempt.abort(stopped(because))
    await vi.advanceTimersByTimeAsync(1_000)
    expect(run.error).toMatchObject({ name: 'AbortError', because })
    expect(attempt.aborted).toBe(run.error)
  })

  it('keeps the first reason', async () => {
    const attempt = new Attempt()
    const run = watch(attempt.run(never, 1_000))
    await vi.advanceTimersByTimeAsync(1_000)
    attempt.abort(stopped('shutdown'))
    await vi.advanceTimersByTimeAsync(2_000)
    expect([attempt.aborted?.because, run.at]).toEqual(['timeout', 2_000])
  })

  it('ends the run that is begun after it', async () => {
    const attempt = new Attempt()
    attempt.abort(stopped('shutdown'))
    const run = watch(attempt.run(never, 60_000))
    await vi.advanceTimersByTimeAsync(2_000)
    expect(run.error).toMatchObject({ because: 'shutdown' })
  })

  it('leaves the timer of nothing behind after a run that ended by itself', async () => {
    const attempt = new Attempt()
    await attempt.run(() => 'done', 1_000)
    attempt.abort(stopped('shutdown'))
    await vi.advanceTimersByTimeAsync(2_000)
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('Attempt.signal', () => {
  it('is the same each time it is asked for', () => {
    const attempt = new Attempt()
    expect(attempt.signal).toBe(attempt.signal)
    expect(attempt.signal.aborted).toBe(false)
  })

  it('has aborted already, with the reason, when it is first asked for afterwards', () => {
    const attempt = new Attempt()
    const reason = stopped('lock-lost')
    attempt.abort(reason)
    expect(attempt.signal.aborted).toBe(true)
    expect(attempt.signal.reason).toBe(reason)
  })

  it('is not made for a handler that does not ask', async () => {
    const made = vi.spyOn(globalThis, 'AbortController')
    await new Attempt().run(() => 'done', 1_000)
    expect(made).not.toHaveBeenCalled()
    made.mockRestore()
  })
})
