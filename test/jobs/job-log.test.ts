import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { startOneQueue } from '../harness/one-queue.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* What a handler logs is found with its job. */

let redis: TestRedis
let one: Awaited<ReturnType<typeof startOneQueue>> | undefined
beforeAll(async () => {
  redis = await startRedis()
})
afterEach(() => one?.app.close())
afterAll(() => redis.stop())

it('keeps the lines of all attempts, without secrets, and nothing below info', async () => {
  one = await startOneQueue(redis.url, ({ attempt }, { log }) => {
    log.debug('for nobody')
    log.info({ attempt, token: 'xoxb-1-secret' }, 'asked https://user:pass@example.com')
    if (attempt === 1) throw new Error('not yet')
    log.warn('in the end')
  })
  const done = await one.jobIn((await one.enqueue()).id, 'completed')
  const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z /)
  expect(done.logs).toEqual([time, time, time])
  expect(done.logs.map((line) => line.slice(line.indexOf(' ') + 1))).toEqual([
    'info asked https://***@example.com {"attempt":1,"token":"[redacted]"}',
    'info asked https://***@example.com {"attempt":2,"token":"[redacted]"}',
    'warn in the end',
  ])
})

it('keeps the last of many, each cut where nobody reads on, and 100 of a job', async () => {
  one = await startOneQueue(redis.url, ({ attempt }, { log }) => {
    for (let n = 1; n <= 60; n += 1) log.info(`${attempt}/${n} ${'x'.repeat(1_000)}`)
    if (attempt < 3) throw new Error('again')
  })
  const { logs } = await one.jobIn((await one.enqueue()).id, 'completed')
  const numbers = logs.map((line) => line.split(' ')[2])
  expect(numbers).toHaveLength(100)
  expect(numbers[0]).toBe('2/11')
  expect(numbers.at(-1)).toBe('3/60')
  expect(Math.max(...logs.map((line) => line.length))).toBe(500)
})

it('shows the lines of a long attempt while it is under way', async () => {
  let release = () => {}
  one = await startOneQueue(redis.url, async (_job, { log, signal }) => {
    const released = new Promise<void>((resolve) => {
      release = resolve
    })
    for (let n = 1; !signal.aborted; n += 1) {
      log.info(`step ${n}`)
      const isOver = await Promise.race([released.then(() => true), new Promise((r) => setTimeout(r, 100))])
      if (isOver) return
    }
  })
  const { id } = await one.enqueue()
  const seen = await until(async () => {
    const job = await one?.job(id)
    return job?.logs.length ? job : undefined
  }, 'lines of a job in hand')
  expect(seen.state).toBe('active')
  release()
  await one.jobIn(id, 'completed')
})

it('leaves nothing behind for jobs that are removed when they are done', async () => {
  one = await startOneQueue(redis.url, (_job, { log }) => log.info('gone soon'), {
    queue: { keep: { completed: { age: '1h', count: 0 } } },
  })
  const { id } = await one.enqueue()
  const { bull } = one
  await until(async () => (await bull.redis.exists(bull.toKey(id))) === 0, 'it is done and gone')
  expect(await bull.redis.exists(bull.toKey(`${id}:logs`))).toBe(0)
})
