import { afterAll, beforeAll, expect, it } from 'vitest'
import { createLogger } from '../../src/observe/log.ts'
import { emptySession } from '../../src/policy/session.ts'
import { keys } from '../../src/redis/keys.ts'
import { keyPart, room } from '../../src/redis/room.ts'
import { HotSessions } from '../../src/sessions/hot.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'

/* The copy of a session never goes backwards, whoever writes it late. */

let redis: TestRedis
let hot: HotSessions
const prefix = freshId('p')
beforeAll(async () => {
  redis = await startRedis()
  const log = createLogger({ logLevel: 'silent', logFormat: 'json' })
  hot = new HotSessions({ redis: redis.client, prefix, ttlMs: 60_000, log, now: () => 1_000 })
})
afterAll(() => redis?.stop())

it('keeps the newest, and does not bring back what was deleted', async () => {
  const place = { tenant: 'T1', id: freshId() }
  const session = emptySession(place.id, 'T1', undefined, 1_000)
  const put = (stamp: number) => hot.put(place, { session: { ...session, version: stamp }, stamp })
  const stamp = async () => (await hot.get(place))?.stamp
  await put(5)
  await put(3)
  expect(await hot.get(place)).toEqual({ stamp: 5, session: { ...session, version: 5 }, confirmedAt: 1_000 })
  // Numbers, not texts: 10 is after 9.
  await put(9)
  await put(10)
  await put(9)
  expect(await stamp()).toBe(10)
  await hot.bury('T1', [{ id: keyPart(place.id), stamp: 10 }])
  expect(await stamp()).toBeUndefined()
  await put(10) // a reader that had it before
  expect(await stamp()).toBeUndefined()
  expect(await redis.client.pttl(keys.conversation(prefix, 'T1', place.id))).toBeGreaterThan(0)
  await put(11) // made anew
  expect(await stamp()).toBe(11)
})

it('confirms the copy of that stamp only, and neither brings one back nor changes it', async () => {
  const place = { tenant: 'T1', id: freshId() }
  const session = emptySession(place.id, 'T1', undefined, 1_000)
  await hot.confirm(place, 5)
  expect(await hot.get(place)).toBeUndefined()
  await hot.put(place, { session, stamp: 5 })
  const key = keys.conversation(prefix, 'T1', place.id)
  await redis.client.hset(key, 'c', '1')
  await hot.confirm(place, 4)
  expect((await hot.get(place))?.confirmedAt).toBe(1)
  await hot.confirm(place, 5)
  expect(await hot.get(place)).toEqual({ stamp: 5, session, confirmedAt: 1_000 })
  expect(await redis.client.hlen(key)).toBe(3)
})

it('has a key of its own for each tenant and id, in which nothing means anything to a pattern', () => {
  const texts = ['', '-', '~', '*', 'a:b', 'a', ':', '%3A', '[a]', 'a?', '\\', '\0', '\ud800', '\udbff', 'é', 'e\u0301']
  const long = ['x'.repeat(300), `${'x'.repeat(299)}y`, 'x'.repeat(201)]
  const parts = [...texts, ...long].map(keyPart)
  expect(new Set(parts).size).toBe(parts.length)
  for (const part of parts) expect(part).toMatch(/^[\w.%~-]{0,200}$/)
  expect(keyPart('T061EG9R6')).toBe('T061EG9R6')
  expect([room(undefined), room('~')]).toEqual(['~', '%7E'])
})
