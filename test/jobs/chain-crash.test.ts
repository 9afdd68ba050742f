import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import { defineQueue } from '../../src/index.ts'
import { openQueues } from '../../src/jobs/bull.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'
import { outliveLock, startWorkerChild } from '../harness/worker-child.ts'

/* The worst moment for a chain: what it leaves behind is stored, its own job is not completed, and the process is gone. */

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())

it('leaves each job behind once when its process was killed just before the end, and the attempt is repeated', async () => {
  const prefix = freshId('p')
  const payload = z.object({ n: z.number() })
  const queues = ['work', 'next'].map((name) => defineQueue({ name, payload }))
  const bull = openQueues(queues, redis.client, prefix)
  const [work, next] = [bull.get('work'), bull.get('next')]
  if (!work || !next) throw new Error('no queues')
  const { id = '' } = await work.add('x', { n: 10 })
  const dies = await startWorkerChild('chain-child', [redis.path, prefix, 'die'])
  const lives = await dies.ended.then(async (end) => {
    expect(end).toBe('SIGKILL')
    expect(await work.getJobState(id)).toBe('active')
    expect(await next.count()).toBe(2)
    await outliveLock(work, id)
    return startWorkerChild('chain-child', [redis.path, prefix])
  })
  try {
    await until(async () => (await work.getJobState(id)) === 'completed', 'it is completed')
    expect([dies.jobs(), lives.jobs()]).toEqual([[10], [10]])
    expect((await next.getJobs(['waiting'])).map(({ data }) => data)).toEqual(
      expect.arrayContaining([{ n: 10 }, { n: 11 }]),
    )
    expect(await next.count()).toBe(2)
  } finally {
    await lives.kill()
    await Promise.all([...bull.values()].map((queue) => queue.close()))
  }
})
