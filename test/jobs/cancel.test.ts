import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { choresWorker, startChores } from '../harness/operator.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* Cancelling across processes: those who serve requests are not those who work. */

let redis: TestRedis
let front: Awaited<ReturnType<typeof startChores>>
let backs: Awaited<ReturnType<typeof startChores>>[]
let seen: ReturnType<typeof choresWorker>['seen']
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())
beforeEach(async () => {
  const { worker, seen: told } = choresWorker()
  seen = told
  front = await startChores(redis.url, { worker, roles: 'http' })
  backs = await Promise.all([1, 2].map(() => startChores(redis.url, { worker, roles: 'worker', prefix: front.prefix })))
})
afterEach(async () => {
  await Promise.all(backs.map(({ app }) => app.close()))
  await front.app.close()
})

const cancel = (id: string) => front.post(`/queues/chores/jobs/${id}/cancel`, { reason: 'enough' })
const running = async () => {
  const id = await front.add('hang')
  await until(() => seen.ran.has(id), 'it runs')
  return id
}

it('reaches whichever process has the job, and only that job', async () => {
  const ids = await Promise.all(Array.from({ length: 6 }, running))
  const [kept = '', ...others] = ids
  await Promise.all(others.map(cancel))
  for (const id of others)
    expect(await front.inState(id, 'failed')).toMatchObject({ reason: 'cancelled: enough (by ada)', attemptsMade: 1 })
  expect((await front.job(kept)).state).toBe('active')
  expect([...seen.aborted.keys()].sort()).toEqual(others.sort())
  await cancel(kept)
  await front.inState(kept, 'failed')
})

it('reaches a process whose connection was lost when it was said', async () => {
  const id = await running()
  // Said to nobody: all that is left is the mark.
  await front.bull.redis.hset(front.bull.toKey(id), 'defa', 'cancelled: unheard')
  await redis.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
  expect(await front.inState(id, 'failed')).toMatchObject({ reason: 'cancelled: unheard' })
  expect(seen.aborted.get(id)).toBe('cancelled')
})

it('believes the mark, not the message', async () => {
  const id = await running()
  await redis.client.publish(`${front.prefix}:cancel`, `chores ${id}`)
  await redis.client.publish(`${front.prefix}:cancel`, 'nonsense')
  await redis.client.publish(`${front.prefix}:cancel`, `nothing ${id}`)
  const other = await running()
  await cancel(other)
  await front.inState(other, 'failed')
  expect(seen.aborted.has(id)).toBe(false)
  await cancel(id)
  await front.inState(id, 'failed')
})

it('of a job that is being taken at that moment holds as well', async () => {
  const ids: string[] = []
  for (let i = 0; i < 40; i += 1) {
    const id = await front.add('hang')
    ids.push(id)
    // At whatever point of its way into a worker's hand it is now.
    expect((await cancel(id)).status).toBe(200)
  }
  for (const id of ids)
    expect(await front.inState(id, 'failed')).toMatchObject({ reason: 'cancelled: enough (by ada)' })
})

it('does not bury a job that was done before it heard, and is run again on the board', async () => {
  const id = await front.add('work')
  await front.inState(id, 'completed')
  // What is left when the mark came while the store was being told of the end.
  await front.bull.redis.hset(front.bull.toKey(id), 'defa', 'cancelled: too late')
  await (await front.bull.getJob(id))?.retry('completed')
  await until(async () => seen.ran.get(id) === 2, 'it has run again')
  expect((await front.inState(id, 'completed')).reason).toBe(null)
})
