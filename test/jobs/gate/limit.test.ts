import { pino } from 'pino'
import { expect, it } from 'vitest'
import { resetLimit, setLimit } from '../../../src/jobs/gate/settings.ts'
import { Gate } from '../../../src/jobs/gate.ts'
import { until } from '../../harness/until.ts'
import { expectBound, gated, type Item, items, useStore } from './harness.ts'

/* Limits: how fast jobs of a key may start, and what holds a key back. */

useStore()

const by = (item: Item) => item.key
it('keeps the bound of each key, and lets the others run', async () => {
  let done = 0
  const { enqueue, work, startsOf } = await gated({ limit: { max: 3, per: '150ms', by } }, async () => {
    done += 1
  })
  await enqueue([...items('a', 18), ...items('b', 3)])
  await work()
  await until(() => done === 21, 'all are done')
  const [a, b] = [await startsOf('a'), await startsOf('b')]
  expectBound(a, 3, 150)
  expect(b[2]).toBeLessThan(a[17] ?? 0)
})

it('can be changed while it holds, and taken back', async () => {
  let done = 0
  const { enqueue, work, bull, queue } = await gated({ limit: { max: 1, per: '1h', by } }, async () => {
    done += 1
  })
  await enqueue(items('a', 20))
  await work()
  await until(() => done === 1, 'the first is done')
  await setLimit(bull, queue, { max: 1_000, perMs: 1 })
  await until(() => done === 20, 'the new limit holds', 15_000)
  await resetLimit(bull, queue)
  await enqueue(items('b', 3))
  await until(() => done === 21, 'the old limit holds')
})

it('of the whole queue is kept by all workers together', async () => {
  const starts: number[] = []
  const { enqueue, work } = await gated({ limit: { max: 5, per: '300ms' } }, async () => void starts.push(Date.now()))
  await enqueue(items('a', 20))
  const began = Date.now()
  await work()
  await work()
  await until(() => starts.length === 20, 'all are done')
  expect(Date.now() - began).toBeGreaterThan(850)
})

it('is held back by the longest of the pauses that were asked for', async () => {
  const { bull, queue } = await gated({ limit: { max: 100, per: '1s', by } }, () => {})
  const gate = new Gate({ queues: [queue], bull: new Map([['gated', bull]]), log: pino({ level: 'silent' }) })
  const now = Date.now()
  await gate.holdBack(queue, 'a', now + 60_000)
  await gate.holdBack(queue, 'a', now + 3_600_000)
  await gate.holdBack(queue, 'a', now + 1_000)
  const left = await bull.redis.pttl(bull.toKey('gate:hold:a'))
  expect(left).toBeGreaterThan(3_500_000)
  expect(left).toBeLessThanOrEqual(3_600_000)
})

it('is told to the store anew when the queue was obliterated', async () => {
  const { bull } = await gated({ limit: { max: 3, per: '1h' } }, () => {})
  expect(await bull.redis.hget(bull.toKey('meta'), 'max')).toBe('3')
  await bull.pause()
  await bull.obliterate({ force: true })
  await until(async () => (await bull.redis.hget(bull.toKey('meta'), 'max')) === '3', 'the limit is back', 15_000)
})

it('comes back with the gate when the store was emptied', async () => {
  const { bull } = await gated({ limit: { max: 3, per: '1h', by } }, () => {})
  await bull.redis.del(bull.toKey('gate'), bull.toKey('meta'))
  await until(async () => (await bull.redis.hget(bull.toKey('gate'), 'max')) === '3', 'the gate is back', 15_000)
})
