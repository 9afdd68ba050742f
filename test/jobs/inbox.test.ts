import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import type { InboxEntry, SourceEvent } from '../../src/define/event.ts'
import { Inbox } from '../../src/jobs/inbox.ts'
import { createLogger } from '../../src/observe/log.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'

/* The inbox keeps to its bounds, by age and by bytes, whatever the entries weigh. */

const mb = 1024 ** 2
const log = createLogger({ logLevel: 'silent', logFormat: 'json' })
const entry: InboxEntry = { queues: ['q'], receivedAt: 0, isReadable: true }

let redis: TestRedis
let isTight = false
let inbox: Inbox
beforeAll(async () => {
  redis = await startRedis({ appendfsync: 'no' })
})
afterAll(() => redis.stop())
beforeEach(() => {
  isTight = false
  inbox = new Inbox({
    redis: redis.client,
    prefix: freshId('p'),
    retentionMs: 3_600_000,
    limit: 2 * mb,
    isTight: () => isTight,
    log,
  })
})

const eventOf = (bytes: number): SourceEvent => {
  const json = JSON.stringify(randomBytes(bytes / 2).toString('hex'))
  return { id: freshId(), source: 's', sourceType: 'slack', type: 't', tenant: undefined, json, payload: json }
}
const add = (bytes: number, id = '*') => redis.client.xadd(inbox.key, id, 'meta', '{}', 'data', 'x'.repeat(bytes))
const used = async () => Number(await redis.client.memory('USAGE', inbox.key))

it.each([
  [200_000, 30],
  [1_000, 9_000],
])('gives up the oldest beyond its bytes, of entries of %i bytes', async (bytes, count) => {
  for (let n = 0; n < count; n += 1) void add(bytes)
  const last = await add(bytes)
  expect(await used()).toBeGreaterThan(3 * mb)
  await inbox.trim()
  await inbox.trim()
  expect(await used()).toBeLessThan(2.5 * mb)
  expect((await redis.client.xrevrange(inbox.key, '+', '-', 'COUNT', 1))[0]?.[0]).toBe(last)
})

it.each([
  [500, 40_000],
  [40_000, 500],
])('keeps to its bytes when entries of %i bytes are followed by some of %i', async (first, then) => {
  for (const bytes of [first, then]) for (let n = 0; n < (1.8 * mb) / bytes; n += 1) void add(bytes)
  const last = await add(then)
  await inbox.trim()
  const left = Number(await redis.client.memory('USAGE', inbox.key, 'SAMPLES', 0))
  expect(left).toBeLessThan(2.1 * mb)
  expect(left).toBeGreaterThan(1.5 * mb)
  expect((await redis.client.xrevrange(inbox.key, '+', '-', 'COUNT', 1))[0]?.[0]).toBe(last)
})

it('does not wait for its next round in a flood', async () => {
  for (let n = 0; n < 30; n += 1) await add(100_000)
  for (let n = 0; n < 4; n += 1) inbox.entry(eventOf(100_000), entry, 1)
  await inbox.stop()
  expect(await used()).toBeLessThan(2.5 * mb)
})

it('gives up what is over age', async () => {
  const now = Date.now()
  await add(10, `${now - 2 * 3_600_000}-0`)
  await add(10, `${now - 60_000}-0`)
  await inbox.trim(now)
  expect(await redis.client.xlen(inbox.key)).toBe(1)
})

it('makes room in a store that is nearly full, and enters no payloads there', async () => {
  for (let n = 0; n < 20; n += 1) await add(100_000)
  isTight = true
  await inbox.trim()
  expect(await redis.client.xlen(inbox.key)).toBe(10)
  expect(inbox.entry(eventOf(100), entry, 1)).toMatchObject({ data: '' })
})

it('enters a large payload by name only', () => {
  expect(inbox.entry(eventOf(300_000), entry, 1)).toMatchObject({ data: '' })
  expect(inbox.entry(eventOf(100_000), entry, 1)).not.toHaveProperty('data')
})

it('gives up everything when it is switched off', async () => {
  await add(10)
  const off = new Inbox({ redis: redis.client, prefix: 'x', retentionMs: 1, limit: 0, isTight: () => false, log })
  await redis.client.rename(inbox.key, off.key)
  await off.start()
  expect([off.isOn, await redis.client.exists(off.key)]).toEqual([false, 0])
})
