import type { LimitRule, Taken } from '../../define/services.ts'
import { MemoryCounts } from '../../limits/memory.ts'
import { limitOf } from '../../policy/limits.ts'

export type FakeTake = { readonly tenant: string | undefined; readonly name: string; readonly ok: boolean }

/** Counts as a process does that must decide alone. */
export function fakeLimits(now: () => number, log: FakeTake[]) {
  const counts = new MemoryCounts()
  return (tenant: string | undefined, name: string, rule: LimitRule): Taken => {
    const limit = limitOf(name, rule)
    const { kind, max, window } = limit
    const taken = counts.take(JSON.stringify([tenant ?? null, name, kind, max, window]), limit, now() * 1_000)
    log.push({ tenant, name, ok: taken.ok })
    return taken
  }
}
