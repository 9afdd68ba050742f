import { CronExpressionParser } from 'cron-parser'
import { messageOf } from '../../errors.ts'
import { noUnknown, wrong } from '../check.ts'
import { type Duration, durationMs } from '../duration.ts'

/** A job that comes by itself. */
export type ScheduleOptions<Payload> = {
  /** Tells the schedules of a queue apart. Default: 'default'; two of a queue may not have the same. */
  id?: string
  /** What the job is to do. */
  payload: Payload
  /**
   * Runs that were missed while no scheduler ran: `skip` goes on with the next one due, `once` makes up for all of them with
   * one run at once. Default: 'once'.
   */
  missed?: 'skip' | 'once'
} & (
  | {
      /** Five fields, or six with seconds first: '0 9 * * 1-5'. */
      cron: string
      /** IANA time zone. Default: 'UTC'. */
      tz?: string
      every?: undefined
    }
  | {
      /** At least '1s'. Counted from the epoch, so that '15m' means at :00, :15, :30 and :45, whenever it was started. */
      every: Duration
      cron?: undefined
      tz?: undefined
    }
)

export type SchedulePolicy = {
  readonly id: string
  readonly payload: unknown
  readonly missed: 'skip' | 'once'
  readonly cron: string | undefined
  readonly tz: string
  readonly everyMs: number | undefined
}

export function schedulesOf<P>(
  options: ScheduleOptions<P> | readonly ScheduleOptions<P>[] | undefined,
  at: string,
): readonly SchedulePolicy[] {
  const given = options === undefined ? [] : Array.isArray(options) ? options : [options as ScheduleOptions<P>]
  const schedules = given.map((schedule: ScheduleOptions<P>) => scheduleOf(schedule, at))
  for (const [i, { id }] of schedules.entries())
    if (schedules.findIndex((other) => other.id === id) < i)
      throw wrong(`${at}.id '${id}'`, 'an id of its own: give each schedule one')
  return Object.freeze(schedules)
}

function scheduleOf<P>(options: ScheduleOptions<P>, at: string): SchedulePolicy {
  noUnknown(options, ['id', 'payload', 'missed', 'cron', 'tz', 'every'], at)
  const { id = 'default', payload, missed = 'once', cron: given, tz = 'UTC', every } = options
  const cron = given?.trim()
  if (!/^[\w.-]{1,100}$/.test(id)) throw wrong(`${at}.id ${JSON.stringify(id)}`, 'letters, digits, dots and dashes')
  if (missed !== 'skip' && missed !== 'once') throw wrong(`${at}.missed ${JSON.stringify(missed)}`, "'skip' or 'once'")
  if ((cron === undefined) === (every === undefined)) throw wrong(at, 'either a cron or an every')
  if (cron !== undefined && !/^(\S+\s+){4,5}\S+$/.test(cron))
    throw wrong(`${at}.cron ${JSON.stringify(cron)}`, "five or six fields, such as '0 9 * * 1-5'")
  if (!isTimeZone(tz)) throw wrong(`${at}.tz ${JSON.stringify(tz)}`, "an IANA time zone, such as 'Europe/Berlin'")
  if (cron !== undefined) checkCron(cron, tz, `${at}.cron`)
  const everyMs = every === undefined ? undefined : durationMs(every, `${at}.every`)
  if (everyMs !== undefined && everyMs < 1_000) throw wrong(`${at}.every ${every}`, "at least '1s'")
  return Object.freeze({ id, payload, missed, cron, tz, everyMs })
}

function isTimeZone(tz: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: tz })
    return true
  } catch {
    return false
  }
}

/** With the parser that BullMQ will use, so that what is accepted here is what will run. */
function checkCron(cron: string, tz: string, at: string): void {
  const shown = `${at} ${JSON.stringify(cron)}`
  // Drawn anew each time it is parsed: no two processes would agree when it is due.
  if (/(^|[\s,])H/.test(cron)) throw wrong(shown, "a fixed time: 'H' is none")
  try {
    CronExpressionParser.parse(cron, { tz }).next()
  } catch (error) {
    throw wrong(shown, `a time that comes: ${messageOf(error)}`)
  }
}
