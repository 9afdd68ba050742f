import type { Redis } from 'ioredis'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createStore } from '../../src/live/messages.ts'
import { createPublish } from '../../src/live/publish.ts'
import { connect } from '../../src/redis/store.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

let cache: TestRedis
let redis: Redis
const counted = { stored: 0, failed: 0 }
beforeEach(async () => {
  cache = await startRedis()
  redis = connect({ host: '', port: 0, db: 0, path: cache.path }, 'producer')
  await until(() => redis.status === 'ready', 'connected')
  Object.assign(counted, { stored: 0, failed: 0 })
})
afterEach(async () => {
  redis.disconnect()
  await cache.stop()
})

const publisher = () =>
  createPublish(createStore(redis, 'live'), (outcome) => {
    counted[outcome] += 1
  })('T')
const publish = (topic: string, data: unknown) => publisher()(topic, data)
/** A machine that is busy with other things; without the bound it would be seconds, or for ever. */
const soonMs = 500

describe('publish', () => {
  it('stores', async () => {
    // On a busy machine the first may take longer than it has.
    await until(async () => {
      await publish('a.b', { x: 'ü' })
      return counted.stored > 0
    }, 'it is stored in time')
    const [last] = await cache.client.xrevrange('live', '+', '-', 'COUNT', 1)
    expect(last?.[1].slice(4)).toEqual(['tenant', '=T', 'topic', 'a.b', 'data', '{"x":"ü"}'])
    expect(await cache.client.ttl('live')).toBeGreaterThan(86_000)
  })

  it('resolves in time with the store killed or hanging, is counted as failed, and works again', async () => {
    for (const [away, back] of [
      [() => Promise.resolve(cache.signal('SIGSTOP')), () => Promise.resolve(cache.signal('SIGCONT'))],
      [() => cache.kill(), () => cache.restart()],
    ] as const) {
      Object.assign(counted, { stored: 0, failed: 0 })
      await away()
      const began = performance.now()
      await publish('a.b', 1)
      expect(performance.now() - began).toBeLessThan(soonMs)
      expect(counted).toEqual({ stored: 0, failed: 1 })
      await back()
      await until(async () => {
        await publish('a.b', 2)
        return counted.stored > 0
      }, 'it is stored again')
    }
  })

  it('waits once for a store that hangs, and stores what nobody waited for when it is back', async () => {
    const publish = publisher()
    cache.signal('SIGSTOP')
    await publish('first', 1)
    expect(counted).toEqual({ stored: 0, failed: 1 })
    for (let i = 0; i < 10; i++) await publish('next', i)
    // Each that is waited for is counted as failed; a second one only where a slow machine took longer than the rest.
    expect(counted.failed).toBeLessThan(10)
    await expect(publish('jobs.x', 1)).rejects.toThrow("what begins with 'jobs.'")
    cache.signal('SIGCONT')
    await until(async () => (await cache.client.xlen('live')) === 11, 'all are stored')
    await until(() => counted.stored + counted.failed === 11, 'and counted')
    expect(counted.stored).toBeGreaterThan(0)
  })

  it('throws what is wrong with the message itself', async () => {
    const loop: Record<string, unknown> = {}
    loop.loop = loop
    for (const [topic, data, words] of [
      ['a b', 1, 'words of 1 to 64'],
      ['jobs.x.completed', 1, 'told by the queues'],
      ['a.b', 1n, 'BigInt'],
      ['a.b', loop, 'circular'],
      ['a.b', () => {}, 'cannot be written as JSON'],
      ['a.b', 'é'.repeat(40_000), '80002 bytes of JSON; at most 65536'],
      [7 as unknown as string, 1, 'must be a text'],
    ] as const)
      await expect(publish(topic, data)).rejects.toMatchObject({
        code: 'invalid-message',
        message: expect.stringContaining(words),
      })
    expect(counted).toEqual({ stored: 0, failed: 0 })
  })

  it('keeps the stream within its bounds, in number and in bytes', async () => {
    const store = createStore(cache.client, 'live')
    const many = (count: number, data: unknown) =>
      Promise.all(Array.from({ length: count }, () => store('T', 'a.b', data)))
    for (let i = 0; i < 10; i += 1) await many(80, 'x'.repeat(65_000))
    expect(Number(await cache.client.memory('USAGE', 'live', 'SAMPLES', 0))).toBeLessThan(40 * 1024 ** 2)
    expect(await cache.client.xlen('live')).toBeGreaterThan(400)
    await many(11_000, 1)
    expect(await cache.client.xlen('live')).toBeLessThanOrEqual(10_200)
  })
})
