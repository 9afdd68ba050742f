import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { type Context, defer } from '../../src/index.ts'
import { startOneQueue } from '../harness/one-queue.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* A store that refuses writes for a while must not make finished work run again, nor spend an attempt. */

let redis: TestRedis
let one: Awaited<ReturnType<typeof startOneQueue>> | undefined
beforeAll(async () => {
  redis = await startRedis()
})
afterEach(() => one?.app.close())
afterAll(() => redis.stop())

const refuse = (isOn: boolean) => redis.client.config('SET', 'min-replicas-to-write', isOn ? '1' : '0')

/** One job whose attempt ends while the store refuses. How often it had run, and the job, when it has ended. */
async function endedWhileRefused(
  end: (run: number, context: Context) => unknown,
  { lock = true, state = 'completed' }: { lock?: boolean; state?: string } = {},
) {
  let runs = 0
  let finish = () => {}
  one = await startOneQueue(redis.url, async (_job, context) => {
    runs += 1
    if (runs === 1)
      await new Promise<void>((resolve) => {
        finish = resolve
      })
    return end(runs, context)
  })
  const { enqueue, jobIn, bull } = one
  const { id } = await enqueue()
  await until(() => runs === 1, 'it is in hand')
  // A lock that runs out meanwhile, as it would in half a minute.
  if (!lock) await redis.client.pexpire(bull.toKey(`${id}:lock`), 50)
  await refuse(true)
  finish()
  await until(async () => (await redis.client.info('errorstats')).includes('NOREPLICAS'), 'the store has refused')
  await until(async () => lock || (await redis.client.exists(bull.toKey(`${id}:lock`))) === 0, 'the lock has run out')
  expect(await redis.client.lpos(bull.toKey('active'), id)).toBe(0)
  await refuse(false)
  await redis.client.config('RESETSTAT')
  return { job: await jobIn(id, state), runs: () => runs }
}

it.each([true, false])('completes it when the store takes writes again (with its lock: %s)', async (lock) => {
  const { job, runs } = await endedWhileRefused(() => 'done', { lock })
  expect(job).toMatchObject({ result: 'done', attemptsMade: 1, errors: [] })
  expect(runs()).toBe(1)
})

it('stores a failure as the one that it was, and tries again', async () => {
  const { job, runs } = await endedWhileRefused((run) => {
    if (run === 1) throw new Error('once')
  })
  expect(job.errors).toEqual([expect.stringContaining('once')])
  expect(job.attemptsMade).toBe(2)
  expect(runs()).toBe(2)
})

it('buries what is dead with its own reason', async () => {
  const { job, runs } = await endedWhileRefused(
    () => {
      throw Object.assign(new Error('for good'), { name: 'UnrecoverableError' })
    },
    { state: 'failed' },
  )
  expect(job).toMatchObject({ reason: 'for good', attemptsMade: 1 })
  expect(runs()).toBe(1)
})

it('puts off what is deferred, and spends no attempt', async () => {
  const { job, runs } = await endedWhileRefused((run) => (run === 1 ? defer('1ms') : 'done'))
  expect(job).toMatchObject({ attemptsMade: 1, errors: [] })
  expect(runs()).toBe(2)
})
