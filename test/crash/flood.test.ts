import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventId, signingSecret } from '../bench/events.ts'
import type { LoadResult } from '../bench/load.ts'
import { type Helper, Stage } from '../bench/stage.ts'
import { readLogs } from './fault.ts'
import { Rig } from './rig.ts'

/* What Slack sends a busy workspace in an hour, 30,000 events, as fast as they can be taken, while a worker does the jobs. */

const events = 30_000
const boundMs = 1_000
/** At most; 10 on two cores of their own. */
const seconds = 100

const stage = new Stage()
let rig: Rig
let load: Helper
beforeAll(async () => {
  rig = await Rig.start({ SLACK_SIGNING_SECRET: signingSecret })
  load = (await stage.helper('load', {})).helper
})
afterAll(async () => {
  await stage.end()
  await rig?.end()
})

it('acknowledges all of them, 99 % within a second, and does each of them once', { timeout: 150_000 }, async () => {
  await load.ask({ port: Number(new URL(rig.http.url).port), connections: 100, seconds, events })
  const result = (await load.ask('go')) as LoadResult
  expect(result).toMatchObject({ answered: events, errors: 0 })
  expect(result.p99).toBeLessThan(boundMs)

  await rig.untilIdle()
  // The senders begin to count at 1.
  const jobs = await rig.jobsOf(Array.from({ length: events }, (_, i) => eventId(i + 1)))
  await rig.stop()
  const { ran } = readLogs(rig.outputs.map((output) => output()))
  expect(jobs.filter((job) => job === null || ran.get(job) !== 1)).toEqual([])
  expect(ran.size).toBe(events)
})
