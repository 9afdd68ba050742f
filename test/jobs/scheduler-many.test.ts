import { getNextMillis } from 'bullmq'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue, defineWorker } from '../../src/index.ts'
import { nextSlot, Scheduler } from '../../src/jobs/scheduler.ts'
import { createLogger } from '../../src/observe/log.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/* Many schedulers at once, and what the clock does to a schedule. */

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())

it('fires each slot once with three Apps that start at once, and again after all were started anew', async () => {
  const seen: string[] = []
  const queue = defineQueue({
    name: 'ticks',
    payload: z.object({}),
    schedule: [
      { id: 'every', every: '1s', payload: {} },
      { id: 'cron', cron: '* * * * * *', payload: {} },
    ],
  })
  const worker = defineWorker(queue, ({ id }) => void seen.push(id))
  const prefix = freshId('p')
  const startAll = (): Promise<TestApp[]> =>
    Promise.all(
      [1, 2, 3].map(() =>
        startTestApp(redis.url, {
          definitions: { queues: [queue, quarantine], workers: [worker], ignored: [] },
          env: { KEY_PREFIX: prefix, ROLES: 'worker,scheduler' },
        }),
      ),
    )
  const slotsOf = (id: string) =>
    seen.flatMap((job) => (job.startsWith(`repeat:millrace.${id}:`) ? [Number(job.split(':')[2])] : []))
  const enough = (count: number) =>
    until(() => ['every', 'cron'].every((id) => slotsOf(id).length >= count), `${count} runs of each`)

  let apps = await startAll()
  await enough(3)
  await Promise.all(apps.map((app) => app.close()))
  const before = seen.length
  apps = await startAll()
  await until(() => seen.length >= before + 6, 'runs after the restart')
  const [bull] = [...(apps[0]?.bull.values() ?? [])]
  expect(await bull?.getDelayedCount()).toBeLessThanOrEqual(2)
  await Promise.all(apps.map((app) => app.close()))

  for (const id of ['every', 'cron']) {
    const slots = slotsOf(id)
    expect(new Set(slots).size).toBe(slots.length)
    expect(slots.filter((slot) => slot % 1_000 !== 0)).toEqual([])
  }
})

it('loses and doubles no run while three keep changing its schedule', async () => {
  const runs: { slot: number; at: number }[] = []
  const payload = z.object({ version: z.number() })
  const versions = [1, 2].map((version) =>
    defineQueue({ name: 'ticks', payload, schedule: { cron: '* * * * * *', payload: { version } } }),
  )
  const [queue = quarantine] = versions
  const worker = defineWorker(queue, ({ id }) => void runs.push({ slot: Number(id.split(':')[2]), at: Date.now() }))
  const app = await startTestApp(redis.url, {
    definitions: { queues: [queue, quarantine], workers: [worker], ignored: [] },
    env: { ROLES: 'worker,scheduler' },
  })
  const log = createLogger({ logLevel: 'silent', logFormat: 'json' })
  let isOver = false
  let changes = 0
  const change = async (i: number) => {
    while (!isOver) {
      const queues = [versions[(changes + i) % 2] ?? queue]
      await new Scheduler({ queues, bull: app.bull, log, mayChange: true }).reconcile()
      changes += 1
    }
  }
  const changing = [0, 1, 2].map(change)
  await until(() => runs.length >= 6, 'six runs')
  isOver = true
  await Promise.all(changing)
  await app.close()
  expect(changes).toBeGreaterThan(50)
  const sorted = runs.toSorted((a, b) => a.slot - b.slot)
  expect(new Set(runs.map(({ slot }) => slot)).size).toBe(runs.length)
  // A run is planned when the one before is taken: the slot after that, or after the change that came last. None is left out
  // but by a machine so busy that a run was late by a slot.
  for (const [i, { slot }] of sorted.slice(1).entries())
    expect(slot).toBeLessThanOrEqual((Math.floor((sorted[i]?.at ?? 0) / 1_000) + 1) * 1_000)
})

describe('the clock', () => {
  /** As each run plans the next: from the one before, not from a list made beforehand. */
  function runs(cron: string, tz: string, from: string, count: number): string[] {
    const times: string[] = []
    let at = Date.parse(from)
    for (let i = 0; i < count; i++) {
      at = getNextMillis(at, { pattern: cron, tz }) ?? Number.NaN
      times.push(new Date(at).toISOString().replace(':00.000Z', 'Z'))
    }
    return times
  }

  it.each([
    // In Berlin 02:00 to 03:00 is left out on 29 March 2026, and comes twice on 25 October.
    [
      'an hour later where its time is left out',
      '30 2 * * *',
      '2026-03-28T12:00Z',
      ['2026-03-29T01:30Z', '2026-03-30T00:30Z'],
    ],
    ['once where its time comes twice', '30 2 * * *', '2026-10-24T12:00Z', ['2026-10-25T00:30Z', '2026-10-26T01:30Z']],
    ['at each real hour in spring', '0 * * * *', '2026-03-29T00:00Z', ['2026-03-29T01:00Z', '2026-03-29T02:00Z']],
    ['at each real hour in autumn', '0 * * * *', '2026-10-25T00:00Z', ['2026-10-25T01:00Z', '2026-10-25T02:00Z']],
    ['at the same local time through it', '0 9 * * *', '2026-03-28T00:00Z', ['2026-03-28T08:00Z', '2026-03-29T07:00Z']],
  ])('runs %s', (_what, cron, from, expected) => {
    expect(runs(cron, 'Europe/Berlin', from, expected.length)).toEqual(expected)
  })

  it('begins with a slot that is not just about to begin', () => {
    expect(nextSlot(1_000, 5_000)).toBe(6_000)
    expect(nextSlot(1_000, 5_899)).toBe(6_000)
    expect(nextSlot(1_000, 5_950)).toBe(7_000)
    expect(nextSlot(86_400_000, 1)).toBe(86_400_000)
  })
})
