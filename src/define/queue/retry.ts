import { noUnknown, wholeFrom, wrong } from '../check.ts'
import { type Duration, durationMs } from '../duration.ts'

export type RetryOptions = BackoffOptions & {
  /**
   * By what went wrong: the name of an error's class or its `code` (`{ ECONNREFUSED: { base: '5s' }, CardDeclined:
   * 'never' }`), for which other numbers hold. A class goes before a code; its own name before those it extends.
   * 'never' buries at once. Default: none.
   */
  on?: Readonly<Record<string, BackoffOptions | 'never'>>
}

export type BackoffOptions = {
  /** Attempts in all, the first included. Default: 5. */
  attempts?: number
  /** Wait before the second attempt; it doubles with each further one. Default: '1s'. */
  base?: Duration
  /** Longest wait. Default: '10m'. */
  max?: Duration
  /** Share of the wait that is random, 0 to 1, so that failures of one cause do not come back at once. Default: 0.5. */
  jitter?: number
}

export type BackoffPolicy = { attempts: number; baseMs: number; maxMs: number; jitter: number }
export type RetryPolicy = BackoffPolicy & { on: ReadonlyMap<string, Readonly<BackoffPolicy> | 'never'> }

const defaults = { attempts: 5, base: '1s', max: '10m', jitter: 0.5 } as const
const known = ['attempts', 'base', 'max', 'jitter']

export function retryOf(options: RetryOptions | undefined, at: string): Readonly<RetryPolicy> {
  const { on = {}, ...own } = options ?? {}
  const common = { ...defaults, ...own }
  const policy = backoffOf(common, at)
  const byError = Object.entries(on).map(([name, given]): [string, Readonly<BackoffPolicy> | 'never'] => {
    const where = `${at}.on.${name}`
    if (given === 'never') return [name, given]
    if (typeof given !== 'object' || given === null) throw wrong(where, "'never' or { attempts, base, max, jitter }")
    return [name, backoffOf({ ...common, ...given }, where)] as const
  })
  return Object.freeze({ ...policy, on: new Map(byError) })
}

function backoffOf(options: Required<BackoffOptions>, at: string): Readonly<BackoffPolicy> {
  noUnknown(options, known, at)
  const { attempts, base, max, jitter } = options
  const baseMs = durationMs(base, `${at}.base`)
  const maxMs = durationMs(max, `${at}.max`)
  wholeFrom(1, attempts, `${at}.attempts`)
  if (!(jitter >= 0 && jitter <= 1)) throw wrong(`${at}.jitter ${jitter}`, 'a number from 0 to 1')
  if (maxMs < baseMs) throw wrong(`${at}.max ${max}`, `at least ${at.split(': ').at(-1)}.base (${base})`)
  return Object.freeze({ attempts, baseMs, maxMs, jitter })
}
