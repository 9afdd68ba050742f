import { describe, expect, it } from 'vitest'
import { RateLimited } from '../../src/define/rate-limited.ts'
import { AttemptAborted } from '../../src/jobs/attempt.ts'
import { createLogger } from '../../src/observe/log.ts'
import { CallBreakers } from '../../src/outbound/breakers.ts'

const log = createLogger({ logLevel: 'silent', logFormat: 'json' })
const fails = () => Promise.reject(new Error('down'))

describe('breakers of calls', () => {
  let time = 0
  const open = async () => {
    const breakers = new CallBreakers({ log, now: () => time })
    for (let i = 0; i < 5; i++) await expect(breakers.run('notion', fails)).rejects.toThrow('down')
    return breakers
  }

  it('throws breaker-open without a call, with when to come back', async () => {
    const breakers = await open()
    let called = 0
    const call = () => Promise.resolve(++called)
    await expect(breakers.run('notion', call)).rejects.toMatchObject({ code: 'breaker-open', retryAfter: 60 })
    expect(called).toBe(0)
    expect(await breakers.run('slack', call)).toBe(1)
    expect(breakers.list()).toMatchObject([
      { name: 'notion', state: 'open', failures: 5 },
      { name: 'slack', state: 'closed', failures: 0 },
    ])
    time += 60_000
    expect(await breakers.run('notion', call)).toBe(2)
    expect(breakers.list()[0]?.state).toBe('half-open')
    expect(await breakers.run('notion', call)).toBe(3)
    expect(breakers.list()[0]?.state).toBe('closed')
  })

  it('closes by hand', async () => {
    const breakers = await open()
    expect([breakers.reset('notion'), breakers.reset('nobody')]).toEqual([true, false])
    expect(await breakers.run('notion', () => Promise.resolve('fine'))).toBe('fine')
  })

  it('does not take "too often" for a failure', async () => {
    const breakers = new CallBreakers({ log })
    const limited = () => Promise.reject(new RateLimited(1))
    for (let i = 0; i < 10; i++) await expect(breakers.run('notion', limited)).rejects.toThrow(RateLimited)
    expect(breakers.list()[0]?.state).toBe('closed')
  })

  it('counts nothing that the caller called off himself, but counts his running out of time', async () => {
    const breakers = new CallBreakers({ log })
    const run = (reason: Error) => {
      const caller = new AbortController()
      const call = async () => {
        caller.abort(reason)
        return caller.signal.throwIfAborted() as never
      }
      return expect(breakers.run('notion', call, { signal: caller.signal })).rejects.toThrow(reason)
    }
    for (let i = 0; i < 10; i++) await run(new AttemptAborted('cancelled', 'cancelled'))
    expect(breakers.list()[0]).toMatchObject({ state: 'closed', failures: 0 })
    for (let i = 0; i < 5; i++) await run(new AttemptAborted('timeout', 'timed out'))
    expect(breakers.list()[0]?.state).toBe('open')
  })

  it('ends a call that has no end, and counts it', async () => {
    const breakers = new CallBreakers({ log })
    let aborted = false
    const hangs = ({ signal }: { signal: AbortSignal }) =>
      new Promise<never>(() =>
        signal.addEventListener('abort', () => {
          aborted = true
        }),
      )
    await expect(breakers.run('notion', hangs, { timeout: '10ms' })).rejects.toThrow('did not answer within 10 ms')
    expect([aborted, breakers.list()[0]?.failures]).toEqual([true, 1])
  })

  it('says of a wrong name and a wrong time what is allowed', async () => {
    const breakers = new CallBreakers({ log })
    await expect(breakers.run('a b', fails)).rejects.toMatchObject({ code: 'bad-request' })
    await expect(breakers.run('a', fails, { timeout: '5' as never })).rejects.toMatchObject({
      code: 'invalid-definition',
    })
  })
})
