import { noUnknown, wholeFrom, wrong } from '../check.ts'
import { type Duration, durationMs } from '../duration.ts'

/** When to leave a broken dependency alone for a while. */
export type BreakerOptions = {
  /** Share of failed attempts, 0 to 1, at which it opens. Default: 0.5. */
  share?: number
  /** Not before so many attempts have ended within `within`. Default: 20. */
  least?: number
  /** Default: '1m'. */
  within?: Duration
  /** How long no job is taken; then one is tried. Default: '30s'. */
  open?: Duration
}

export type BreakerPolicy = {
  readonly share: number
  readonly least: number
  readonly withinMs: number
  readonly openMs: number
}

const defaults = { share: 0.5, least: 20, within: '1m', open: '30s' } as const

export function breakerOf(options: BreakerOptions | undefined, at: string): BreakerPolicy | undefined {
  if (options === undefined) return undefined
  noUnknown(options, Object.keys(defaults), at)
  const { share, least, within, open } = { ...defaults, ...options }
  if (!(share > 0 && share <= 1)) throw wrong(`${at}.share ${share}`, 'a number above 0 and up to 1')
  wholeFrom(1, least, `${at}.least`)
  const withinMs = durationMs(within, `${at}.within`)
  const openMs = durationMs(open, `${at}.open`)
  if (withinMs < 100) throw wrong(`${at}.within ${within}`, "at least '100ms'")
  if (openMs < 100) throw wrong(`${at}.open ${open}`, "at least '100ms'")
  return Object.freeze({ share, least, withinMs, openMs })
}
