import { once } from 'node:events'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Channel } from '../../src/redis/channel.ts'
import { connect, untilReady } from '../../src/redis/store.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

let server: TestRedis
beforeAll(async () => {
  server = await startRedis()
})
afterAll(() => server.stop())

async function open() {
  const redis = connect({ path: server.path, db: 0 } as Parameters<typeof connect>[0], 'consumer')
  await untilReady(redis)
  const heard: string[] = []
  let listened = 0
  const errors: unknown[] = []
  const channel = new Channel(redis, freshId('c'), {
    onMessage: (text) => heard.push(text),
    onListening: () => {
      listened += 1
    },
    onError: (error) => errors.push(error),
  })
  await channel.start()
  return { redis, channel, heard, errors, listened: () => listened }
}

it('hears, says each time that it listens, and listens again after a reconnection', async () => {
  const { redis, channel, heard, listened } = await open()
  expect(listened()).toBe(1)
  await server.client.publish(channel.name, 'one')
  await until(() => heard.length === 1, 'the first was heard')
  await server.client.client('KILL', 'TYPE', 'PUBSUB')
  await until(() => listened() === 2, 'it listens again')
  await server.client.publish(channel.name, 'two')
  await until(() => heard.length === 2, 'the second was heard')
  expect(heard).toEqual(['one', 'two'])
  redis.disconnect()
})

it('tells of a subscription that was cut off, and rejects nothing that nobody holds', async () => {
  const { redis, errors, listened } = await open()
  const unhandled: unknown[] = []
  const note = (error: unknown) => unhandled.push(error)
  process.on('unhandledRejection', note)
  try {
    redis.once('ready', () => {
      redis.disconnect()
      redis.stream.destroy()
    })
    await server.client.client('KILL', 'TYPE', 'PUBSUB')
    await once(redis, 'end')
    await until(() => errors.length === 1, 'it was told')
    await new Promise((resolve) => setImmediate(resolve))
    expect(String(errors[0])).toContain('Connection is closed')
    expect(unhandled).toEqual([])
    expect(listened()).toBe(1)
  } finally {
    process.off('unhandledRejection', note)
  }
})

it('says nothing any more once it is stopped', async () => {
  const { redis, channel, heard, listened } = await open()
  channel.stop()
  await server.client.publish(channel.name, 'late')
  await server.client.client('KILL', 'TYPE', 'PUBSUB')
  await once(redis, 'ready')
  await redis.ping()
  expect([heard, listened()]).toEqual([[], 1])
  redis.disconnect()
})
