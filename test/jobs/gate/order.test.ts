import { expect, it } from 'vitest'
import { defer } from '../../../src/index.ts'
import { freeKey } from '../../../src/jobs/gate/view.ts'
import { until } from '../../harness/until.ts'
import { gated, type Item, items, useStore } from './harness.ts'

/* Order by key: strictly first in first out, whatever happens to the jobs on their way. */

useStore()

const by = (item: Item) => item.key

it('runs jobs of a key one after the other through failures, and keys side by side', async () => {
  const done: Record<string, number[]> = {}
  const busy = new Set<string>()
  let sideBySide = 0
  const { enqueue, work, leftovers } = await gated({ order: { by } }, async ({ payload: { key, n }, attempt }) => {
    expect(busy.has(key)).toBe(false)
    busy.add(key)
    sideBySide = Math.max(sideBySide, busy.size)
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 2))
    busy.delete(key)
    if (attempt < 3 && Math.random() < 0.3) throw new Error('now and then')
    done[key] ??= []
    done[key].push(n)
  })
  const keys = Array.from({ length: 20 }, (_, i) => `k${i}`)
  await enqueue(keys.flatMap((key) => items(key, 20)).sort((a, b) => a.n - b.n))
  await work()
  await work()
  await until(() => keys.every((key) => done[key]?.length === 20), 'all are done')
  for (const key of keys) expect(done[key]).toEqual(items(key, 20).map(({ n }) => n))
  expect(sideBySide).toBeGreaterThan(5)
  await until(async () => (await leftovers()).held === 0, 'no key is busy')
})

it('goes on behind a job that is buried', async () => {
  const done: number[] = []
  const { enqueue, work, bull } = await gated({ order: { by } }, async ({ payload: { n } }) => {
    if (n === 1) throw new Error('never')
    done.push(n)
  })
  await enqueue(items('k', 4))
  await work()
  await until(() => done.length === 3, 'the others are done')
  expect(done).toEqual([0, 2, 3])
  expect(await bull.getFailedCount()).toBe(1)
})

it('waits for a job that is put off, and for nobody when it is removed', async () => {
  const done: string[] = []
  const { enqueue, work, bull, app } = await gated(
    { order: { by }, retry: { attempts: 2, base: '10m', max: '10m' } },
    async ({ payload: { key, n } }) => {
      if (key === 'stuck' && n === 0) throw new Error('later')
      done.push(`${key}${n}`)
    },
  )
  const [first] = await enqueue([...items('stuck', 2), ...items('free', 2)])
  await work()
  await until(async () => (await bull.getDelayedCount()) === 1 && done.length === 2, 'one is put off')
  expect(done.sort()).toEqual(['free0', 'free1'])
  const job = await bull.getJob(first?.id ?? '')
  await job?.remove()
  await until(() => done.includes('stuck1'), 'the next one runs', 15_000)
  expect(app.bull.size).toBeGreaterThan(0)
})

it('takes keys of any form', async () => {
  const done: Item[] = []
  const { enqueue, work } = await gated({ order: { by } }, async ({ payload }) => void done.push(payload))
  const odd = ['', 'a\nb', 'a:b', '…ü', 'x'.repeat(5_000), '"', '\\', '{}', '0']
  await enqueue(odd.flatMap((key) => items(key, 2)))
  await work()
  await until(() => done.length === odd.length * 2, 'all are done')
  for (const key of odd) expect(done.filter((item) => item.key === key).map(({ n }) => n)).toEqual([0, 1])
})

it('frees a key by the name that it was given, however long', async () => {
  const key = 'x'.repeat(5_000)
  let isHeld = false
  const { enqueue, work, bull } = await gated({ order: { by } }, () => {
    isHeld = true
    return defer('1h')
  })
  const [first] = await enqueue(items(key, 2))
  await work()
  await until(() => isHeld, 'the first is put off')
  expect(await freeKey(bull, '', key)).toBe(first?.id)
})
