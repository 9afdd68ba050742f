import { noUnknown, wholeFrom, wrong } from '../check.ts'
import { type Duration, durationMs } from '../duration.ts'

/** At most `max` starts within any stretch of time of length `per`. */
export type RateOptions = { max: number; per: Duration }
export type RatePolicy = { readonly max: number; readonly perMs: number }

/** The last `max` starts of each key are remembered, to keep the bound exactly. */
export const mostStarts = 10_000

export function rateOf(options: RateOptions, at: string): RatePolicy {
  noUnknown(options, ['max', 'per'], at)
  const max = wholeFrom(1, options.max, `${at}.max`)
  if (max > mostStarts) throw wrong(`${at}.max ${max}`, `at most ${mostStarts}; use a shorter 'per'`)
  const perMs = durationMs(options.per, `${at}.per`)
  if (perMs < 1) throw wrong(`${at}.per ${options.per}`, "at least '1ms'")
  return Object.freeze({ max, perMs })
}
