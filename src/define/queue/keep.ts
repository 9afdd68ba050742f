import { noUnknown, wholeFrom, wrong } from '../check.ts'
import { type Duration, durationMs } from '../duration.ts'

export type KeepOptions = { age?: Duration; count?: number }
export type KeepPolicy = { ageMs: number; count: number }

const defaults = { completed: { age: '1h', count: 1_000 }, dead: { age: '14d', count: 50_000 } } as const

/** How long finished jobs, results and errors included, can be looked at. */
export function keepOf(
  options: { completed?: KeepOptions; dead?: KeepOptions } | undefined,
  at: string,
): { readonly completed: Readonly<KeepPolicy>; readonly dead: Readonly<KeepPolicy> } {
  noUnknown(options, ['completed', 'dead'], at)
  return Object.freeze({
    completed: one({ ...defaults.completed, ...options?.completed }, `${at}.completed`),
    dead: one({ ...defaults.dead, ...options?.dead }, `${at}.dead`),
  })
}

function one(keep: Required<KeepOptions>, at: string): Readonly<KeepPolicy> {
  noUnknown(keep, ['age', 'count'], at)
  wholeFrom(0, keep.count, `${at}.count`)
  const ageMs = durationMs(keep.age, `${at}.age`)
  // BullMQ keeps ages in whole seconds; less than one would silently become "for ever".
  if (ageMs < 1_000) throw wrong(`${at}.age ${keep.age}`, "at least '1s'; for none at all use count: 0")
  return Object.freeze({ ageMs, count: keep.count })
}
