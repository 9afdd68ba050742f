import { durationMs } from '../../define/duration.ts'
import type { LimitRule, Taken } from '../../define/services.ts'

export type FakeTake = { readonly tenant: string | undefined; readonly name: string; readonly ok: boolean }

/** Counts for each tenant and name. `bucket`: full at first, and filled again evenly. */
export function fakeLimits(now: () => number, log: FakeTake[]) {
  const windows = new Map<string, number[]>()
  const buckets = new Map<string, { level: number; at: number }>()

  /** Never more than `max` in any window that ends now. */
  const sliding = (key: string, max: number, perMs: number): Taken => {
    const at = now()
    const inWindow = (windows.get(key) ?? []).filter((one) => one > at - perMs)
    const ok = inWindow.length < max
    if (ok) inWindow.push(at)
    windows.set(key, inWindow)
    const oldest = inWindow[0] ?? at
    return {
      ok,
      limit: max,
      remaining: max - inWindow.length,
      retryAfterMs: ok ? 0 : oldest + perMs - at,
      resetMs: (inWindow.at(-1) ?? at) + perMs - at,
    }
  }

  const bucket = (key: string, max: number, perMs: number): Taken => {
    const at = now()
    const each = perMs / max
    const before = buckets.get(key) ?? { level: max, at }
    const level = Math.min(max, before.level + (at - before.at) / each)
    const ok = level >= 1
    const left = ok ? level - 1 : level
    buckets.set(key, { level: left, at })
    return {
      ok,
      limit: max,
      remaining: Math.floor(left),
      retryAfterMs: ok ? 0 : Math.ceil((1 - left) * each),
      resetMs: Math.ceil((max - left) * each),
    }
  }

  return (tenant: string | undefined, name: string, { max, per, kind = 'sliding' }: LimitRule): Taken => {
    const count = kind === 'bucket' ? bucket : sliding
    const taken = count(JSON.stringify([tenant ?? null, name, kind]), max, durationMs(per, 'per'))
    log.push({ tenant, name, ok: taken.ok })
    return taken
  }
}
