import { afterAll, beforeAll, expect, it } from 'vitest'
import { addArguments, addKeys, addScript, callArguments, idsOf } from '../../src/jobs/add-script.ts'
import { aliasMs } from '../../src/jobs/alias.ts'
import { keysOf, startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'

/* The second ids under which the add script recognises a job. */

const name = 'orders'

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())

type Added = { id: string; dedupe?: { id: string; ttl: number }; alias: string; aliasMs?: number }

async function addOurs(prefix: string, jobs: readonly Added[]): Promise<string[]> {
  const keys = addKeys(prefix, name)
  const args = jobs.map(({ id, dedupe, ...extras }) =>
    addArguments({ id, name, timestamp: 1, json: '{}', options: '{}', dedupe, extras }),
  )
  const all = callArguments(`${prefix}:${name}:`, '', args)
  return idsOf(args, await redis.client.eval(addScript, keys.length, ...keys, ...all))
}

it('keeps a second id for what it stored only, for its own time', async () => {
  const prefix = freshId('p')
  const add = (id: string, first: string, alias: string) =>
    addOurs(prefix, [{ id, dedupe: { id: first, ttl: 60_000 }, alias, aliasMs: 30_000 }])
  expect(await add('j1', 'Ev1', 'same-1')).toEqual(['j1'])
  expect(await add('j2', 'Ev2', 'same-1')).toEqual(['j1'])
  expect(await redis.client.exists(`${prefix}:${name}:de:Ev2`)).toBe(0)
  expect(await add('j3', 'Ev1', 'same-3')).toEqual(['j1'])
  expect(await redis.client.exists(`${prefix}:${name}:de:same-3`)).toBe(0)
  expect(await redis.client.pttl(`${prefix}:${name}:de:same-1`)).toBeLessThanOrEqual(30_000)
})

it('keeps an alias for what it stored only, for all that one call and later ones bring', async () => {
  const prefix = freshId('p')
  const job = (id: string, first: string, alias: string) => ({ id, dedupe: { id: first, ttl: 60_000 }, alias })
  expect(
    await addOurs(prefix, [job('j1', 'Ev1', 'same-1'), job('j2', 'Ev2', 'same-1'), job('j3', 'Ev1', 'same-3')]),
  ).toEqual(['j1', 'j1', 'j1'])
  expect(await addOurs(prefix, [job('j4', 'Ev4', 'same-1'), job('j5', 'Ev5', 'same-3')])).toEqual(['j1', 'j5'])
  const [bucket = '', ...more] = await keysOf(redis.client, `${prefix}:${name}:alias:*`)
  expect(more).toEqual([])
  expect(await redis.client.hgetall(bucket)).toEqual({ 'same-1': 'j1', 'same-3': 'j5' })
  // A repetition leaves no trace of its own.
  expect(await redis.client.exists(`${prefix}:${name}:de:Ev2`, `${prefix}:${name}:de:Ev4`)).toBe(0)
})

it('knows an alias for as long as it has to, and forgets it in the end', async () => {
  const prefix = freshId('p')
  await addOurs(prefix, [{ id: 'j1', alias: 'same-1' }])
  const add = (id: string) => addOurs(prefix, [{ id, alias: 'same-1' }])
  const [bucket = ''] = await keysOf(redis.client, `${prefix}:${name}:alias:*`)
  const aged = (by: number) => bucket.replace(/\d+$/, (count) => String(Number(count) - by))
  // Its bucket began at most half of the time ago, and is looked at while two more have begun.
  const hour = 3_600_000
  expect(await redis.client.pttl(bucket)).toBeGreaterThan(aliasMs)
  expect(await redis.client.pttl(bucket)).toBeLessThanOrEqual(1.5 * aliasMs + hour)
  await redis.client.rename(bucket, aged(1))
  expect(await add('j2')).toEqual(['j1'])
  await redis.client.rename(aged(1), aged(2))
  expect(await add('j3')).toEqual(['j1'])
  await redis.client.rename(aged(2), aged(3))
  expect(await add('j4')).toEqual(['j4'])
})

it('remembers no alias of a job that could not be stored, and keeps those before it', async () => {
  const prefix = freshId('p')
  await redis.client.lpush(`${prefix}:${name}:de:odd`, 'not a text')
  const jobs = [
    { id: 'j1', alias: 'same-1' },
    { id: 'j2', dedupe: { id: 'odd', ttl: 60_000 }, alias: 'same-2' },
    { id: 'j3', alias: 'same-3' },
  ]
  await expect(addOurs(prefix, jobs)).rejects.toThrow('WRONGTYPE')
  expect(await redis.client.lrange(`${prefix}:${name}:wait`, 0, -1)).toEqual(['j1'])
  await redis.client.del(`${prefix}:${name}:de:odd`)
  expect(await addOurs(prefix, jobs)).toEqual(['j1', 'j2', 'j3'])
})
