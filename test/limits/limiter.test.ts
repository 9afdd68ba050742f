import fc from 'fast-check'
import type { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { LimitRule } from '../../src/define/services.ts'
import { MemoryCounts } from '../../src/limits/memory.ts'
import { limitOf } from '../../src/policy/limits.ts'
import { keyPart, room } from '../../src/redis/room.ts'
import { keysOf, startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'
import { openLimiter, startChild } from './harness.ts'

let redis: TestRedis
let prefix: string
let cleanups: (() => unknown)[]
beforeEach(async () => {
  redis = await startRedis({ appendonly: 'no' })
  prefix = freshId('p')
  cleanups = []
})
afterEach(async () => {
  redis?.signal('SIGCONT')
  for (const cleanup of cleanups) await cleanup()
  await redis?.stop()
})

async function open(more: Parameters<typeof openLimiter>[2] = {}) {
  const opened = await openLimiter(redis.path, prefix, more)
  cleanups.push(opened.close)
  return opened
}

async function child() {
  const started = await startChild(redis.path, prefix)
  cleanups.push(started.kill)
  return started
}

/** Times to live of all keys that limits have made. */
async function lives(client: Redis): Promise<number[]> {
  const keys = await keysOf(client, `${prefix}:limit:*`)
  return Promise.all(keys.map((key) => client.pttl(key)))
}

const hourly = (max: number): LimitRule => ({ max, per: '1h' })

describe('several processes', () => {
  it('let exactly the limit pass of 10,000 calls', { timeout: 60_000 }, async () => {
    const children = await Promise.all([child(), child(), child(), child()])
    const answers = await Promise.all(children.map(({ take }) => take(2_500)))
    expect(answers.map(({ isAlone }) => isAlone)).toEqual([false, false, false, false])
    expect(answers.reduce((sum, { ok }) => sum + ok, 0)).toBe(1_000)
  })

  it('leave no key without a time to live, whenever they are killed', { timeout: 60_000 }, async () => {
    for (let i = 0; i < 3; i += 1) {
      const dies = await child()
      dies.start(1_000_000)
      // At whatever point of a call: the store has some of them, and the next is under way.
      await until(async () => (await lives(redis.client)).length > 5, 'keys')
      await dies.kill()
      const left = await lives(redis.client)
      expect(left.length).toBeGreaterThan(5)
      expect(left.filter((ms) => ms <= 0)).toEqual([])
    }
  })
})

describe('a limit', () => {
  it('says what is left, when to come again, and when all of it is there again', async () => {
    const { limiter } = await open({ patienceMs: 10_000 })
    const { take } = limiter.of('T')
    expect(await take('tool', { max: 2, per: '1m' })).toEqual({
      ok: true,
      limit: 2,
      remaining: 1,
      retryAfterMs: 0,
      resetMs: 60_000,
    })
    expect(await take('tool', { max: 2, per: '1m' })).toMatchObject({ ok: true, remaining: 0 })
    const refused = await take('tool', { max: 2, per: '1m' })
    expect(refused).toMatchObject({ ok: false, limit: 2, remaining: 0 })
    expect(refused.retryAfterMs).toBeGreaterThan(55_000)
    expect(refused.retryAfterMs).toBeLessThanOrEqual(60_000)
  })

  it('lets one pass again when it said so', async () => {
    const { take } = (await open({ patienceMs: 10_000 })).limiter.of('T')
    const rule: LimitRule = { max: 1, per: '300ms' }
    expect((await take('tool', rule)).ok).toBe(true)
    const { ok, retryAfterMs } = await take('tool', rule)
    expect(ok).toBe(false)
    await new Promise((resolve) => setTimeout(resolve, retryAfterMs + 2))
    expect((await take('tool', rule)).ok).toBe(true)
  })

  it('counts what is asked in one turn each for itself', async () => {
    const { take } = (await open({ patienceMs: 10_000 })).limiter.of('T')
    for (const kind of ['sliding', 'bucket'] as const) {
      const all = await Promise.all(Array.from({ length: 30 }, () => take('tool', { ...hourly(10), kind })))
      expect(all.map(({ ok }) => ok)).toEqual([...Array(10).fill(true), ...Array(20).fill(false)])
      expect(all.slice(0, 10).map(({ remaining }) => remaining)).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1, 0])
    }
  })

  it('is one of its own for each tenant, whatever its name, and for each rule', async () => {
    const { limiter } = await open({ patienceMs: 10_000 })
    const strange = [
      undefined,
      '-',
      '~',
      '*',
      'a:b',
      'a',
      'a b',
      'ä',
      '\ud800',
      '\ud801',
      '\n',
      'T'.repeat(300),
      'T'.repeat(301),
    ]
    for (const tenant of strange) {
      expect([tenant, (await limiter.of(tenant).take('x', hourly(1))).ok]).toEqual([tenant, true])
      expect([tenant, (await limiter.of(tenant).take('x', hourly(1))).ok]).toEqual([tenant, false])
    }
    // What would meet if parts were only joined.
    expect((await limiter.of('a').take('b:x', hourly(1))).ok).toBe(true)
    expect((await limiter.of('a:b').take('x', hourly(2))).ok).toBe(true)
    expect((await lives(redis.client)).filter((ms) => ms <= 0)).toEqual([])
  })

  it('gives any two texts different parts of a key, with nothing in them that Redis or a reader minds', () => {
    const text = fc.oneof(fc.string(), fc.string({ unit: 'binary' }), fc.constantFrom('-', '~', '', '~LQ'))
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(keyPart(a) === keyPart(b)).toBe(a === b)
        expect(keyPart(a)).toMatch(/^[\w.~%-]*$/)
        expect(room(a) === room(undefined)).toBe(a === '')
      }),
    )
  })

  it.each([
    ['', hourly(1), 'the name must be a text of 1 to 200 characters'],
    ['x'.repeat(201), hourly(1), 'the name must be a text'],
    ['tool', undefined, 'write a rule such as'],
    ['tool', { max: 0, per: '1m' }, 'max is 0; write a whole number from 1'],
    ['tool', { max: 1.5, per: '1m' }, 'max is 1.5'],
    ['tool', { max: Number.POSITIVE_INFINITY, per: '1m' }, 'max is Infinity'],
    ['tool', { max: '5', per: '1m' }, 'max is 5; write a whole number'],
    ['tool', { max: 5, per: 60 }, "per is 60; write a duration such as '30s'"],
    ['tool', { max: 5, per: '0s' }, 'per is "0s"; write a duration from 1ms to 31d'],
    ['tool', { max: 5, per: '32d' }, 'from 1ms to 31d'],
    ['tool', { max: 5, per: '1m', kind: 'fixed' }, `kind is "fixed"; write 'sliding' or 'bucket'`],
    ['tool', { max: 100_001, per: '1m' }, "counts to 100000: say it for a shorter time, or use kind 'bucket'"],
    ['tool', { max: 200_000, per: '1s', kind: 'bucket' }, 'more than 100000 a second'],
  ])('refuses %j with %j', async (name, rule, words) => {
    const { limiter, isAlone } = await open()
    await expect(limiter.of('T').take(name, rule as LimitRule)).rejects.toMatchObject({
      code: 'invalid-definition',
      message: expect.stringContaining(words),
    })
    expect(await isAlone()).toBe(false)
  })
})

describe('without the store', () => {
  it('each process counts for itself, knows what it let pass before, and says so; with it all together again', async () => {
    let now = Date.now()
    const { limiter, lines, isAlone } = await open({ now: () => now })
    const take = async (rule = hourly(4)) => (await limiter.of('T').take('tool', rule)).ok
    expect([await take(), await take()]).toEqual([true, true])
    await redis.kill()
    const all = await Promise.all(Array.from({ length: 8 }, () => take()))
    expect(all.filter(Boolean)).toHaveLength(2)
    expect(await isAlone()).toBe(true)
    expect(lines.filter((line) => line.includes('this process counts for itself'))).toHaveLength(1)
    now += 3_600_000
    expect(await take()).toBe(true)
    await redis.restart()
    await until(async () => {
      now += 1_000
      return (await take(hourly(1_000_000 / 10))) && !(await isAlone())
    }, 'the store counts again')
    expect(lines.at(-1)).toContain('the store counts again')
    expect((await lives(redis.client)).length).toBeGreaterThan(0)
  })

  it('is asked again soon by a process whose clock was set back meanwhile', async () => {
    let now = Date.now()
    const { limiter, isAlone } = await open({ now: () => now })
    await redis.kill()
    await limiter.of('T').take('tool', hourly(4))
    expect(await isAlone()).toBe(true)
    await redis.restart()
    now -= 3_600_000
    await until(async () => {
      now += 10
      return (await limiter.of('T').take('tool', hourly(1_000))) && !(await isAlone())
    }, 'the store counts again')
    expect(now).toBeLessThan(Date.now() - 1_800_000)
  })

  it('nobody waits long for one that hangs, and only the first waits at all', async () => {
    const { limiter, isAlone } = await open()
    await limiter.of('T').take('tool', hourly(1))
    redis.signal('SIGSTOP')
    const began = performance.now()
    const all = await Promise.all(Array.from({ length: 100 }, (_, i) => limiter.of(`T${i}`).take('tool', hourly(1))))
    // 50 ms, and what a busy machine takes besides.
    expect(performance.now() - began).toBeLessThan(900)
    expect(all.every(({ ok }) => ok)).toBe(true)
    expect(await isAlone()).toBe(true)
    const again = performance.now()
    for (let i = 0; i < 100; i += 1) expect((await limiter.of(`T${i}`).take('tool', hourly(1))).ok).toBe(false)
    // A hundred waits would be five seconds.
    expect(performance.now() - again).toBeLessThan(900)
    redis.signal('SIGCONT')
    await until(
      async () => (await limiter.of('U').take('other', hourly(100_000))) && !(await isAlone()),
      'the store again',
    )
  })

  it('survives a store that is killed and started in the middle of calls', { timeout: 60_000 }, async () => {
    const { limiter, isAlone } = await open()
    let [isOver, made] = [false, 0]
    const callers = Array.from({ length: 20 }, async (_, i) => {
      while (!isOver) {
        await limiter.of(`T${i}`).take('tool', hourly(1_000))
        made += 1
        await new Promise((resolve) => setImmediate(resolve))
      }
    })
    for (let i = 0; i < 3; i += 1) {
      await until(async () => !(await isAlone()), 'counts in the store')
      await redis.kill()
      const before = made
      await until(async () => (await isAlone()) && made > before + 100, 'goes on alone')
      await redis.restart()
    }
    isOver = true
    await Promise.all(callers)
    expect((await lives(redis.client)).filter((ms) => ms <= 0)).toEqual([])
  })

  it('remembers no more than it may', () => {
    const memory = new MemoryCounts({ counts: 100, calls: 1_000 })
    const [few, many] = [limitOf('x', hourly(5)), limitOf('x', hourly(10_000))]
    for (let i = 0; i < 1_000; i += 1) memory.take(`k${i}`, few, 1)
    expect(memory.size).toBe(100)
    for (let i = 0; i < 5_000; i += 1) memory.take('loud', many, 1)
    expect(memory.size).toBe(1)
    // Those that are past go by themselves.
    for (let i = 0; i < 50; i += 1) memory.take(`n${i}`, few, 2 * 3_600_000_000 + i)
    for (let i = 0; i < 50; i += 1) memory.take('one', few, 4 * 3_600_000_000)
    expect(memory.size).toBe(1)
  })
})
