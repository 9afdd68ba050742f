import { outcomeOf, type Sent } from '../ops/send.ts'

/* How the end of a send looks on a terminal. */

/** One event that was taken. */
export function describeSent(one: Sent): string {
  const { status, id, ms, stored, duplicate } = one
  if (stored === null) return `${status}  answered in ${ms} ms, and not stored: it is a handshake`
  if (one.quarantined)
    return `${status}  ${id}  ${ms} ms  kept in quarantine: it could not be read, or no queue takes it`
  return `${status}  ${id}  ${ms} ms  ${duplicate ? 'was' : 'stored'} in the ${stored}${duplicate ? ' already' : ''}`
}

/** Counts by outcome, how fast it went, and how long the answers took. */
export function summarize(sent: readonly Sent[], seconds: number): string {
  const counts = new Map<string, number>()
  for (const one of sent) counts.set(outcomeOf(one), (counts.get(outcomeOf(one)) ?? 0) + 1)
  const outcomes = [...counts].sort((a, b) => b[1] - a[1]).map(([outcome, count]) => `${count} ${outcome}`)
  const head = `${sent.length} sent in ${seconds.toFixed(1)} s (${Math.round(sent.length / seconds)}/s): ${outcomes.join(', ')}`
  // Where nobody answered there is nothing to measure.
  const times = sent.flatMap(({ status, ms }) => (status === 0 ? [] : [ms])).sort((a, b) => a - b)
  return times.length === 0 ? head : [head, percentiles(times), ...histogram(times)].join('\n')
}

function percentiles(times: readonly number[]): string {
  // The nearest rank: the least time that this share of all did not exceed.
  const at = (share: number) => times[Math.max(0, Math.ceil(times.length * share) - 1)]
  return `p50 ${at(0.5)} ms, p90 ${at(0.9)} ms, p99 ${at(0.99)} ms, max ${times.at(-1)} ms`
}

/** Steps of 1, 2 and 5 times powers of ten: from the first that holds anything to the last, the empty ones between too. */
function histogram(times: readonly number[]): string[] {
  const counts = new Map<number, number>()
  for (const ms of times) counts.set(stepOf(ms), (counts.get(stepOf(ms)) ?? 0) + 1)
  const last = Math.max(...counts.keys())
  const most = Math.max(...counts.values())
  const lines: string[] = []
  for (let step = Math.min(...counts.keys()); step <= last; step++) {
    const count = counts.get(step) ?? 0
    const bar = '█'.repeat(Math.ceil((count / most) * 40))
    const widest = String(limitOf(last)).length
    lines.push(
      `  ≤ ${String(limitOf(step)).padStart(widest)} ms  ${String(count).padStart(String(most).length)}  ${bar}`.trimEnd(),
    )
  }
  return lines
}

function limitOf(step: number): number {
  return ([1, 2, 5][step % 3] ?? 1) * 10 ** Math.floor(step / 3)
}

function stepOf(ms: number): number {
  let step = 0
  while (limitOf(step) < ms) step++
  return step
}
