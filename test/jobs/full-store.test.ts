import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import type { AnyWorker } from '../../src/define/worker.ts'
import { defineQueue, defineWorker } from '../../src/index.ts'
import { startTestApp } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId, mention, post } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/* A store at its maxmemory refuses new work, and the work that it has goes on. */

const posts = defineQueue({
  name: 'posts',
  on: ['slack:*'],
  payload: z.looseObject({}),
  keep: { completed: { age: '1h' } },
})
const definitions = (workers: AnyWorker[]) => ({
  queues: [posts, quarantine],
  workers,
  ignored: [],
})
const jobs = 300

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis({ maxmemory: '24mb', appendfsync: 'no' })
})
afterAll(() => redis.stop())

/** Fills the store with what no job of ours can free. */
async function fill(): Promise<void> {
  let n = 0
  for (const bytes of [40_000, 1_000])
    for (let isFull = false; !isFull; n += 1)
      isFull = await redis.client.set(`foreign:${n}`, 'x'.repeat(bytes)).then(
        () => false,
        (error) => String(error).includes('OOM'),
      )
}

it('is worked off by workers that start at a full store, and takes new work when there is room', async () => {
  const env = { KEY_PREFIX: freshId('full'), DURABILITY: 'everysec', SPOOL_LIMIT: '0', ROLES: 'http' }
  const edge = await startTestApp(redis.url, { env, definitions: definitions([]) })
  const ids = Array.from({ length: jobs }, () => freshId())
  await Promise.all(ids.map((id) => post(edge.url, mention(id))))
  expect(await redis.client.llen(`${env.KEY_PREFIX}:posts:wait`)).toBe(jobs)
  await fill()

  let done = 0
  const workers = [
    defineWorker(posts, () => {
      done += 1
      return 'x'.repeat(100)
    }),
  ]
  const worker = await startTestApp(redis.url, { env: { ...env, ROLES: 'worker' }, definitions: definitions(workers) })
  try {
    await until(() => done === jobs, 'every job has been worked on')
    await until(
      async () => (await redis.client.zcard(`${env.KEY_PREFIX}:posts:completed`)) === jobs,
      'all are completed',
    )
    await expect(redis.client.set('foreign:more', 'x'.repeat(1_000))).rejects.toThrow('OOM')
    const id = freshId()
    const refused = await post(edge.url, mention(id))
    expect([refused.status, Number(refused.headers.get('retry-after')) > 0]).toEqual([503, true])

    for (let n = 0; n < 400; n += 1) await redis.client.del(`foreign:${n}`)
    await until(async () => (await post(edge.url, mention(id))).status === 200, 'it takes the event')
    await until(() => done === jobs + 1, 'and works on it')
  } finally {
    await worker.close()
    await edge.close()
  }
})
