import type { BreakerPolicy } from '../define/queue.ts'

/*
 * Leaves a broken dependency alone. Closed: all may start, and ends are counted. Open: none may start. Half-open: one may, and
 * how that ends decides. Each function gives the state that follows; none knows the clock.
 */

export type BreakerState =
  | { readonly at: 'closed'; readonly slices: readonly Slice[] }
  | { readonly at: 'open'; readonly until: number }
  | { readonly at: 'half-open'; readonly isProbing: boolean }

/** Ends of attempts from one stretch of time. */
type Slice = { readonly from: number; readonly ended: number; readonly failed: number }

/** How a job came to start: as any other, as the one that tries, or not at all. */
export type Admission = 'run' | 'probe' | 'wait'

export const closed: BreakerState = Object.freeze({ at: 'closed', slices: [] })

/** Ends are forgotten a slice at a time: what is counted reaches back `within`, give or take a tenth. */
const slicesWithin = 10

export function admitted(state: BreakerState): { readonly state: BreakerState; readonly as: Admission } {
  if (state.at === 'closed') return { state, as: 'run' }
  if (state.at === 'open' || state.isProbing) return { state, as: 'wait' }
  return { state: { at: 'half-open', isProbing: true }, as: 'probe' }
}

/** After an attempt. `failed` is undefined for an end that says nothing about the dependency: deferred, dropped, interrupted. */
export function ended(
  state: BreakerState,
  as: Admission,
  failed: boolean | undefined,
  policy: BreakerPolicy,
  now: number,
): BreakerState {
  if (state.at === 'half-open' && as === 'probe') {
    if (failed === undefined) return { at: 'half-open', isProbing: false }
    return failed ? { at: 'open', until: now + policy.openMs } : closed
  }
  // What started before it opened says how things were then.
  if (state.at !== 'closed' || failed === undefined) return state
  const slices = counted(state.slices, failed, policy, now)
  const all = slices.reduce((sum, slice) => sum + slice.ended, 0)
  const bad = slices.reduce((sum, slice) => sum + slice.failed, 0)
  return all >= policy.least && bad / all >= policy.share
    ? { at: 'open', until: now + policy.openMs }
    : { at: 'closed', slices }
}

/** After some time has passed. */
export function elapsed(state: BreakerState, now: number): BreakerState {
  return state.at === 'open' && now >= state.until ? { at: 'half-open', isProbing: false } : state
}

function counted(before: readonly Slice[], failed: boolean, policy: BreakerPolicy, now: number): readonly Slice[] {
  const length = policy.withinMs / slicesWithin
  const recent = before.filter(({ from }) => from > now - policy.withinMs)
  const last = recent.at(-1)
  const one = failed ? 1 : 0
  return last && now < last.from + length
    ? [...recent.slice(0, -1), { from: last.from, ended: last.ended + 1, failed: last.failed + one }]
    : [...recent, { from: now, ended: 1, failed: one }]
}
