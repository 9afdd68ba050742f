import { fork } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { openCache, type TestCache } from '../harness/cache.ts'
import { built } from '../harness/process.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'

let server: TestRedis
const ends: (() => Promise<void>)[] = []

beforeAll(async () => {
  server = await startRedis({ 'maxmemory-policy': 'allkeys-lru', appendonly: 'no' })
})
afterAll(() => server.stop())
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})

type Answer = { readonly n: number; readonly answer: unknown }

async function startChild(prefix: string) {
  const child = fork(built('../test/cache/child.js'), [JSON.stringify({ path: server.path, prefix })])
  const answers = new Map<number, (answer: unknown) => void>()
  const answered = (n: number) => new Promise<unknown>((resolve) => answers.set(n, resolve))
  child.on('message', ({ n, answer }: Answer) => answers.get(n)?.(answer))
  const gone = once(child, 'exit')
  ends.push(async () => {
    child.kill('SIGKILL')
    await gone
  })
  let last = 0
  await Promise.race([
    answered(0),
    gone.then(() => {
      throw new Error('the child ended before it was ready')
    }),
  ])
  return {
    kill: () => child.kill('SIGKILL') && gone,
    said: (n: number) => answered(n),
    ask: <T>(what: string, key: string, times = 1): Promise<T> => {
      const n = ++last
      const answer = answered(n) as Promise<T>
      child.send({ n, what, key, times })
      return answer
    },
  }
}

async function start(count: number) {
  const prefix = freshId('c')
  const children = await Promise.all(Array.from({ length: count }, () => startChild(prefix)))
  return { prefix, children }
}

async function own(prefix: string, settings = {}): Promise<TestCache> {
  const cache = await openCache(server, { prefix, settings })
  ends.push(() => cache.close())
  return cache
}

describe('four processes', () => {
  it('compute once for 1,000 callers who all miss', async () => {
    const { prefix, children } = await start(4)
    type Outcome = { computed: number; values: number[] }
    const outcomes = await Promise.all(children.map((child) => child.ask<Outcome>('compute', 'k', 250)))
    expect(await server.client.get(`${prefix}:computed:k`)).toBe('1')
    expect(outcomes.map(({ computed }) => computed).sort()).toEqual([0, 0, 0, 1])
    expect(new Set(outcomes.flatMap(({ values }) => values)).size).toBe(1)
  })

  it.each([
    ['key', (cache: TestCache) => cache.of('T1').delete('k')],
    ['tag', (cache: TestCache) => cache.of('T1').invalidate({ tag: 'x' })],
    ['pattern', (cache: TestCache) => cache.of('T1').invalidate({ pattern: 'k*' })],
  ])('all forget what is invalidated by %s', async (how, invalidate) => {
    const { prefix, children } = await start(4)
    const cache = await own(prefix)
    await cache.of('T1').set('k', { by: 0 }, { tags: ['x'] })
    for (const child of children) await child.ask('compute', 'k')
    expect(await Promise.all(children.map((child) => child.ask('at hand', 'k')))).toEqual([1, 1, 1, 1])
    const forgotten = Promise.all(children.map((child) => child.ask<number>('forgets', 'k')))
    const began = Date.now()
    await invalidate(cache)
    const tookMs = Math.max(...(await forgotten)) - began
    console.log(`invalidation by ${how} reached 4 processes within ${tookMs} ms (aim: 100)`)
    // What is measured on a machine at rest is a few milliseconds; this only says that it was the message and not the minute.
    expect(tookMs).toBeLessThan(5_000)
  })

  it('go on when the one that computes is killed, after the time of its lock', async () => {
    const { prefix, children } = await start(1)
    const [child] = children
    const computing = child?.said(-1)
    await child?.ask('hang', 'k')
    await computing
    const cache = await own(prefix)
    const lock = `${prefix}:cache:l:T1:k`
    expect(await server.client.pttl(lock)).toBeGreaterThan(0)
    const waiting = cache.of('T1').getOrCompute('k', () => 'mine')
    await child?.kill()
    expect(await waiting).toBe('mine')
    expect(await server.client.exists(lock)).toBe(0)
  })

  it('do not wait longer than their patience for one that hangs', async () => {
    const { prefix, children } = await start(1)
    const [child] = children
    const computing = child?.said(-1)
    await child?.ask('hang', 'k')
    await computing
    const cache = await own(prefix, { patienceMs: 100 })
    expect(await cache.of('T1').getOrCompute('k', () => 'mine')).toBe('mine')
    // The other one may still store: what was computed past it is not kept.
    expect(await cache.of('T1').get('k')).toBeUndefined()
  })
})
