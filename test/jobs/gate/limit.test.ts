import { expect, it } from 'vitest'
import { resetLimit, setLimit } from '../../../src/jobs/gate/settings.ts'
import { until } from '../../harness/until.ts'
import { gated, type Item, items, useStore } from './harness.ts'

/* Limits: how fast jobs of a key may start, and what holds a key back. */

useStore()

const by = (item: Item) => item.key
/** The store counts when it hands a job out; the handler starts a little later, now more and now less. */
const slack = 60

it('keeps the bound of each key, and lets the others run', async () => {
  const starts: Record<string, number[]> = {}
  const { enqueue, work } = await gated({ limit: { max: 3, per: '150ms', by } }, async ({ payload: { key } }) => {
    starts[key] ??= []
    starts[key].push(Date.now())
  })
  await enqueue([...items('a', 18), ...items('b', 3)])
  const began = Date.now()
  await work()
  await until(() => starts.a?.length === 18 && starts.b?.length === 3, 'all are done')
  for (const times of Object.values(starts))
    for (let i = 3; i < times.length; i++) expect((times[i] ?? 0) - (times[i - 3] ?? 0)).toBeGreaterThan(150 - slack)
  expect(starts.b?.[2]).toBeLessThan((starts.a?.at(-1) ?? 0) - 300)
  expect(Date.now() - began).toBeGreaterThan(700)
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
