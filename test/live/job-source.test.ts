import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { perRead, type Raw } from '../../src/live/feed.ts'
import { jobSource } from '../../src/live/job-source.ts'
import { positionOf } from '../../src/live/position.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())

/** A stream of so many events, of which the oldest have been trimmed away; `id(n)` is that of the nth, from 0. */
async function stream(key: string, { events, trimmed }: { events: number; trimmed: number }) {
  const pipeline = redis.client.pipeline()
  for (let n = 0; n < events; n += 1) pipeline.xadd(key, `${n + 1}-1`, 'event', 'waiting', 'jobId', String(n))
  await pipeline.exec()
  await redis.client.xtrim(key, 'MINID', `${trimmed + 1}-1`)
  const source = jobSource({
    queue: 'work',
    key,
    redis: redis.client,
    transitions: async (raw) =>
      raw.map(([id, fields]) => ({ id, state: 'waiting', tenant: undefined, data: { id: fields[3] } })),
  })
  const raw = (await redis.client.xrange(key, '-', '+', 'COUNT', perRead)) as Raw[]
  return { source, raw, id: (n: number) => positionOf(`${n + 1}-1`) }
}

describe('a process that cannot keep up with a queue', () => {
  it('sees that trimming was faster', async () => {
    const { source, raw, id } = await stream('behind', { events: 1_000, trimmed: 300 })
    const part = await source.decode(raw, id(200))
    expect(part.entries).toHaveLength(perRead)
    expect(part.lostUntil).toBeDefined()
    expect(part.last).toEqual(id(799))
  })

  it('and when it was not', async () => {
    const { source, raw, id } = await stream('close', { events: 1_000, trimmed: 300 })
    expect((await source.decode(raw, id(300))).lostUntil).toBeUndefined()
  })

  it('reads what is between two places, in pages', async () => {
    const { source, id } = await stream('long', { events: 5_000, trimmed: 10 })
    const whole = await source.between(id(20), id(4_000))
    expect([whole.entries.length, whole.lostUntil]).toEqual([3_980, undefined])
    const part = await source.between(id(5), id(4_000))
    expect(part.entries).toHaveLength(3_991)
    expect(part.entries[0]?.at).toEqual(id(10))
    expect(part.lostUntil).toBeDefined()
  })
})
