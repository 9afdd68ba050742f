import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { LimitRule, Taken } from '../../src/define/services.ts'
import { limitScript } from '../../src/limits/script.ts'
import { countOf, intervalOf, limitOf, takenOf } from '../../src/policy/limits.ts'
import { scriptCall } from '../../src/redis/script-call.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'

/*
 * The script, at times of the test's choosing, beside the same in TypeScript and beside a model that remembers everything and
 * looks at all of it each time.
 */

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis({ appendonly: 'no' })
})
afterAll(() => redis?.stop())

const script = scriptCall(limitScript('local now = tonumber(ARGV[2])'))

/** `calls` at once, at `now` µs, as a process asks for them. */
async function ask(key: string, rule: LimitRule, now: number, calls: number): Promise<Taken[]> {
  const limit = limitOf('name', rule)
  const interval = intervalOf(limit)
  const terms = limit.kind === 'sliding' ? `s ${limit.max} ${limit.window}` : `b ${interval} ${interval * limit.max}`
  const numbers = (await script(redis.client, [key], [`${terms} ${calls}`, now])) as number[]
  const [room = Number.NaN, retry = Number.NaN, reset = Number.NaN] = numbers
  return Array.from({ length: calls }, (_, nth) => takenOf(limit, { room, retry, reset }, nth))
}

/** An hour that no clock was set to by chance. µs. */
const origin = 1_763_758_000_000_000
const windowMs = 10

const steps = fc.array(
  fc.record({
    // Often exactly a window, or one µs beside it.
    wait: fc.oneof(
      fc.integer({ min: 0, max: 3_000 }),
      fc.integer({ min: 0, max: 2 }).map((by) => windowMs * 1_000 - 1 + by),
      fc.integer({ min: 0, max: 30_000 }),
    ),
    calls: fc.integer({ min: 1, max: 12 }),
  }),
  { minLength: 1, maxLength: 60 },
)

describe('a sliding window', () => {
  it('is exact: at each call it knows the calls of the window before it, and nothing else', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 40 }), steps, async (max, all) => {
        const rule: LimitRule = { max, per: `${windowMs}ms` }
        const key = freshId('k')
        const own = countOf(limitOf('name', rule))
        const passed: number[] = []
        let now = origin
        for (const { wait, calls } of all) {
          now += wait
          const answers = await ask(key, rule, now, calls)
          for (const answer of answers) {
            const within = passed.filter((at) => at > now - windowMs * 1_000)
            expect(answer.ok).toBe(within.length < max)
            if (answer.ok) {
              passed.push(now)
              expect(answer.remaining).toBe(max - within.length - 1)
            } else expect(answer.retryAfterMs).toBe(Math.ceil(((within[0] ?? 0) + windowMs * 1_000 - now) / 1_000))
            expect(own.take(now)).toMatchObject({ ok: answer.ok, remaining: answer.remaining })
          }
        }
        // The promise itself, said without the model.
        for (const [i, at] of passed.entries())
          expect(at - (passed[i - max] ?? Number.NEGATIVE_INFINITY)).toBeGreaterThanOrEqual(windowMs * 1_000)
      }),
      { numRuns: 150 },
    )
  })

  it('lets nobody have two at the border: 99 at the end of a minute and 100 at the start of the next', async () => {
    const [rule, key, second]: [LimitRule, string, number] = [{ max: 100, per: '1m' }, freshId('k'), 1_000_000]
    const oks = async (now: number, calls: number) => (await ask(key, rule, now, calls)).filter(({ ok }) => ok).length
    expect(await oks(origin, 1)).toBe(1)
    expect(await oks(origin + 59 * second, 99)).toBe(99)
    expect(await oks(origin + 60 * second, 100)).toBe(1)
    expect(await oks(origin + 118.999 * second, 100)).toBe(0)
    expect(await oks(origin + 119 * second, 100)).toBe(99)
  })

  it('counts as far as it says, in seven bytes a call', async () => {
    const [rule, key]: [LimitRule, string] = [{ max: 100_000, per: '1h' }, freshId('k')]
    let taken = 0
    for (let i = 0; i < 102; i += 1) taken += (await ask(key, rule, origin + i, 1_000)).filter(({ ok }) => ok).length
    expect(taken).toBe(100_000)
    expect(await redis.client.strlen(key)).toBe(33 + 7 * 100_000)
    expect((await ask(key, rule, origin + 3_600_000_000 + 1, 5_000)).filter(({ ok }) => ok)).toHaveLength(2_000)
  })

  it('holds back with a clock that was set back, and not for longer than two windows', async () => {
    const rule: LimitRule = { max: 2, per: '1m' }
    for (const take of [
      (key: string, now: number) => ask(key, rule, now, 1).then(([taken]) => taken?.ok),
      (() => {
        const own = countOf(limitOf('name', rule))
        return async (_key: string, now: number) => own.take(now).ok
      })(),
    ]) {
      const key = freshId('k')
      expect([await take(key, origin), await take(key, origin), await take(key, origin)]).toEqual([true, true, false])
      expect(await take(key, origin - 30_000_000)).toBe(false)
      expect(await take(key, origin - 61_000_000)).toBe(true)
    }
  })
})

describe('a bucket', () => {
  it('gives max at once, then one each interval, as the model of water does', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(1, 2, 5, 10, 40), steps, async (max, all) => {
        const rule: LimitRule = { max, per: `${windowMs}ms`, kind: 'bucket' }
        const interval = (windowMs * 1_000) / max
        const key = freshId('k')
        const own = countOf(limitOf('name', rule))
        // In µs of filling, so that nothing is rounded.
        let water = interval * max
        let now = origin
        for (const { wait, calls } of all) {
          now += wait
          water = Math.min(interval * max, water + wait)
          for (const answer of await ask(key, rule, now, calls)) {
            expect(answer.ok).toBe(water >= interval)
            if (answer.ok) water -= interval
            else expect(answer.retryAfterMs).toBe(Math.ceil((interval - water) / 1_000))
            expect(answer.remaining).toBe(answer.ok ? Math.floor(water / interval) : 0)
            expect(own.take(now)).toEqual({ ...answer, resetMs: expect.any(Number) })
          }
        }
      }),
      { numRuns: 150 },
    )
  })

  it('never gives more than the rule says where an interval is no whole number of µs', async () => {
    const [rule, key]: [LimitRule, string] = [{ max: 3, per: '1s', kind: 'bucket' }, freshId('k')]
    let taken = 0
    for (let at = 0; at <= 10_000_000; at += 100_000) if ((await ask(key, rule, origin + at, 1))[0]?.ok) taken += 1
    expect(taken).toBeLessThanOrEqual(3 + 30)
    expect(taken).toBeGreaterThan(30)
  })
})
