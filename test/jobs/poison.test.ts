import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import { defineQueue } from '../../src/index.ts'
import { type BullQueue, openQueues } from '../../src/jobs/bull.ts'
import { explainJob } from '../../src/jobs/explain.ts'
import { describeJob } from '../../src/jobs/inspect.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'
import { outliveLock, startWorkerChild } from '../harness/worker-child.ts'

/* A job that kills its process: real processes, which end by SIGKILL. */

const queue = defineQueue({ name: 'work', payload: z.object({ n: z.number() }) })

let redis: TestRedis
let bull: BullQueue
let prefix: string
const cleanUps: (() => Promise<unknown>)[] = []
beforeAll(async () => {
  redis = await startRedis()
})
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0)) await cleanUp()
})
afterAll(() => redis.stop())

function open(): void {
  prefix = freshId('p')
  bull = openQueues([queue], redis.client, prefix).get('work') as BullQueue
  cleanUps.push(() => bull.close())
}

async function startChild() {
  const child = await startWorkerChild('poison-child', [redis.path, prefix])
  cleanUps.push(child.kill)
  return child
}

it.each(['a job', 'a run of a schedule'])(
  '%s that killed three processes is buried by the fourth, which lives',
  async (kind) => {
    open()
    if (kind === 'a job') await bull.add('x', { n: 0 })
    else await bull.upsertJobScheduler('tick', { every: 3_600_000 }, { name: 'x', data: { n: 0 } })
    const [{ id = '' } = {}] = await until(async () => {
      const jobs = await bull.getJobs(['waiting', 'delayed'])
      return jobs.length > 0 ? jobs : undefined
    }, 'it is stored')
    for (let deaths = 1; deaths <= 3; deaths++) {
      const child = await startChild()
      expect(await child.ended).toBe('SIGKILL')
      expect(child.jobs()).toEqual([0])
      expect(await bull.getJobState(id)).toBe('active')
      await outliveLock(bull, id)
      expect(await explainJob(bull, id)).toMatchObject({ code: 'lost-worker' })
    }

    const survivor = await startChild()
    await until(async () => (await bull.getJobState(id)) === 'failed', 'it is buried')
    expect(await describeJob(bull, id)).toMatchObject({ reason: 'killed its process 3 times: buried as a poison pill' })
    expect(await explainJob(bull, id)).toMatchObject({ code: 'poison', words: expect.stringContaining('3 times') })
    await bull.add('x', { n: 1 })
    await until(() => survivor.jobs().length > 0, 'the survivor works')
    expect(survivor.jobs()).toEqual([1])
    const saysSo = (text: string) => text.includes('poison pill')
    const line = await until(() => survivor.output().split('\n').slice(0, -1).find(saysSo), 'the log says so')
    expect(JSON.parse(line)).toMatchObject({ job: id, outcome: 'dead' })

    // Somebody mended it, as he thinks, and asks for it again: then it is called again.
    const job = await bull.getJob(id)
    await job?.retry('failed', { resetAttemptsMade: true, resetAttemptsStarted: true })
    expect(await survivor.ended).toBe('SIGKILL')
    expect(survivor.jobs()).toEqual([1, 0])
  },
)
