import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { scriptCall } from '../../src/redis/script-call.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())

const sent = async () => {
  const stats = await redis.client.info('commandstats')
  return [/cmdstat_eval:calls=(\d+)/, /cmdstat_evalsha:calls=(\d+)/].map((line) => Number(line.exec(stats)?.[1] ?? 0))
}

it('sends the text only to a store that does not have it', async () => {
  const script = "return KEYS[1] .. ' ' .. ARGV[1]"
  const call = scriptCall(script)
  for (const word of ['one', 'two', 'three']) expect(await call(redis.client, ['key'], [word])).toBe(`key ${word}`)
  expect(await sent()).toEqual([1, 3])
  expect(await redis.client.script('EXISTS', createHash('sha1').update(script).digest('hex'))).toEqual([1])
  await redis.client.script('FLUSH')
  expect(await call(redis.client, ['key'], ['four'])).toBe('key four')
})

it('says what went wrong in the script', async () => {
  await expect(scriptCall("return error('as told')")(redis.client, [], [])).rejects.toThrow('as told')
})
