import { expect, it } from 'vitest'
import { cancelJob, removeJob, retryJob } from '../../../src/jobs/actions.ts'
import { previewRedrive, startRedrive } from '../../../src/jobs/redrive.ts'
import { Redriver } from '../../../src/jobs/redriver.ts'
import { createLogger } from '../../../src/observe/log.ts'
import { until } from '../../harness/until.ts'
import { gated, type Item, items, useStore } from './harness.ts'

/* What engineers do to jobs of queues that keep turns and order: lanes go on, slots are given back. */

useStore()

const by = (item: Item) => item.key
const actor = { name: 'olga' }
const idle = { running: 0, held: 0, waiting: 0 }

it('cancels and removes jobs that wait in their lane, and the others go on in order', async () => {
  const done: number[] = []
  const { enqueue, work, bull, app, leftovers } = await gated(
    { order: { by } },
    async ({ payload }) => void done.push(payload.n),
  )
  const ids = (await enqueue(items('k', 5))).map(({ id }) => id)
  const prefix = String(bull.opts.prefix)
  expect(await cancelJob(bull, ids[0] ?? '', { actor, prefix })).toMatchObject({ state: 'failed', was: 'waiting' })
  expect(await removeJob(bull, ids[2] ?? '', { actor })).toMatchObject({ was: 'waiting' })
  await work()
  await until(() => done.length === 3, 'the others are done')
  expect(done).toEqual([1, 3, 4])
  expect(await retryJob(bull, ids[0] ?? '', { actor })).toMatchObject({ was: 'failed' })
  await until(() => done.includes(0), 'it ran after all')
  await until(async () => JSON.stringify(await leftovers()) === JSON.stringify(idle), 'nothing is left')
  expect(app.bull.has('gated')).toBe(true)
})

it('cancels a job that holds its key, in hand or put off, and the key goes on', async () => {
  const done: string[] = []
  const { enqueue, work, bull, leftovers } = await gated(
    { order: { by }, retry: { attempts: 2, base: '10m', max: '10m' } },
    async ({ payload: { key, n } }, { signal }) => {
      if (n === 0 && key === 'later') throw new Error('later')
      if (n === 0) await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      done.push(`${key}${n}`)
    },
  )
  const [later, , hang] = (await enqueue([...items('later', 2), ...items('hang', 2)])).map(({ id }) => id)
  await work()
  await until(async () => (await bull.getDelayedCount()) === 1 && (await bull.getActiveCount()) === 1, 'both are stuck')
  const prefix = String(bull.opts.prefix)
  expect(await cancelJob(bull, later ?? '', { actor, prefix })).toMatchObject({ state: 'failed', was: 'delayed' })
  expect(await cancelJob(bull, hang ?? '', { actor, prefix })).toMatchObject({ state: 'cancelling' })
  await until(() => done.length === 2, 'both keys go on, before anybody sets the gate right', 4_000)
  expect(done.sort()).toEqual(['hang1', 'later1'])
  expect(await bull.getFailedCount()).toBe(2)
  await until(async () => JSON.stringify(await leftovers()) === JSON.stringify(idle), 'nothing is left')
})

it('redrives into lanes, so that bounds and order hold', async () => {
  let isBroken = true
  let inHand = 0
  let most = 0
  const done: Record<string, number[]> = {}
  const { enqueue, work, bull, app, leftovers } = await gated(
    { tenant: { by, concurrency: 2 }, retry: { attempts: 1 } },
    async ({ payload: { key, n } }) => {
      if (isBroken) throw new Error('broken')
      inHand += 1
      most = Math.max(most, inHand)
      await new Promise((resolve) => setImmediate(resolve))
      inHand -= 1
      done[key] = [...(done[key] ?? []), n]
    },
  )
  await enqueue(items('a', 30))
  await work()
  await until(async () => (await bull.getFailedCount()) === 30, 'all are dead')
  isBroken = false
  const prefix = String(bull.opts.prefix)
  const owner = { name: 'olga', key: 'k' }
  const { token, matched } = await previewRedrive(bull, {}, { prefix, owner, ratePerSecond: 1_000 })
  expect(matched).toBe(30)
  await startRedrive(app.bull, token, { prefix, owner })
  const log = createLogger({ logLevel: 'silent', logFormat: 'json' })
  const redriver = new Redriver({ redis: bull.redis, bull: app.bull, prefix, log })
  await redriver.run(token)
  await until(() => done.a?.length === 30, 'all are done')
  expect([...(done.a ?? [])].sort((x, y) => x - y)).toEqual(items('a', 30).map(({ n }) => n))
  expect(most).toBeLessThanOrEqual(2)
  await until(async () => JSON.stringify(await leftovers()) === JSON.stringify(idle), 'nothing is left')
})
