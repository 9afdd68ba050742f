import { expect, it } from 'vitest'
import { z } from 'zod'
import { defineQueue } from '../../src/index.ts'

/* What is wrong with a schedule is said when the queue file is read. */

const define = (schedule: object) =>
  defineQueue({ name: 'nightly', payload: z.object({}), schedule: { payload: {}, ...schedule } as never })

it.each([
  [{ cron: '61 * * * *' }, /schedule\.cron "61 \* \* \* \*" is not a time that comes: .*got value 61/],
  [{ cron: '0 0 30 2 *' }, /is not a time that comes/],
  [{ cron: '0 9 * * mondays' }, /is not a time that comes/],
  [{ cron: 'H 3 * * *' }, /is not a fixed time: 'H' is none/],
  [{ cron: '0 0 * * 1,H' }, /'H' is none/],
  [{ cron: '@daily' }, /five or six fields/],
  [{ cron: '0 9 * * *', tz: 'Mars/Olympus' }, /an IANA time zone/],
  [{ every: '500ms' }, /at least '1s'/],
  [{ every: '1m', cron: '* * * * *' }, /either a cron or an every/],
])('refuses %j', (schedule, why) => {
  expect(() => define(schedule)).toThrow(why)
})

it.each(['0 9 * * 1-5', ' */5 * * * * * ', '0 0 L * *', '0 9 * MAR THU', '0 0 29 2 *'])('takes %j', (cron) => {
  expect(define({ cron }).schedules[0]?.cron).toBe(cron.trim())
})
