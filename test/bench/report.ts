import type { Figures, Round } from './rounds.ts'

type Aim = { readonly atLeast: number } | { readonly atMost: number }
export type Metric = { readonly key: string; readonly label: string; readonly digits: number; readonly aim?: Aim }
export type Comparison = {
  readonly name: string
  readonly title: string
  /** The plain one first. */
  readonly sides: readonly [string, string]
  readonly setting: object
  readonly metrics: readonly Metric[]
  readonly rounds: readonly Round[]
}

/** The kernel's own work for the disk comes to as much. */
const quietCores = 0.2

type Pair = { readonly plain: Figures; readonly ours: Figures }

/** Rounds in which either side failed are no pairs: half of one says nothing. */
export function pairsOf({ rounds }: Comparison): Pair[] {
  return rounds.filter((round): round is Pair => !('failed' in round.plain) && !('failed' in round.ours))
}

export function failuresOf({ rounds, sides }: Comparison): string[] {
  return rounds.flatMap(({ plain, ours }) =>
    [plain, ours].flatMap((outcome, i) => ('failed' in outcome ? [`${sides[i]} failed: ${outcome.failed}`] : [])),
  )
}

export type Summary = {
  readonly label: string
  readonly plain: number
  readonly ours: number
  /** Ours divided by the plain one's, round by round. */
  readonly ratio: { readonly median: number; readonly min: number; readonly max: number }
  readonly aim: Aim | undefined
}

export function summarize(comparison: Comparison): Summary[] {
  const pairs = pairsOf(comparison)
  return comparison.metrics.flatMap(({ key, label, aim }) => {
    const values = pairs.map(({ plain, ours }) => [plain[key] ?? Number.NaN, ours[key] ?? Number.NaN] as const)
    const ratios = values.map(([plain, ours]) => ours / plain)
    if (ratios.length === 0 || ratios.some(Number.isNaN)) return []
    const ratio = { median: median(ratios), min: Math.min(...ratios), max: Math.max(...ratios) }
    return [{ label, plain: median(values.map(([v]) => v)), ours: median(values.map(([, v]) => v)), ratio, aim }]
  })
}

/** For people; also Markdown. */
export function table(comparison: Comparison): string {
  const count = pairsOf(comparison).length
  const rows = summarize(comparison).map(({ label, plain, ours, ratio, aim }) => {
    const digits = comparison.metrics.find((metric) => metric.label === label)?.digits ?? 0
    const span = `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})`
    return [label, number(plain, digits), number(ours, digits), span, aim ? verdict(aim, ratio.median) : '']
  })
  const head = [`median of ${count} rounds`, ...comparison.sides, 'ratio (min–max)', 'aim']
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i]?.length ?? 0)))
  const line = (row: string[]) =>
    `| ${row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join(' | ')} |`
  const rule = `|${widths.map((width, i) => `${'-'.repeat(width + 1)}${i === 0 ? '-' : ':'}`).join('|')}|`
  return [`${comparison.title}\n`, line(head), rule, ...rows.map(line), ...remarksOf(comparison)].join('\n')
}

/** Failures, and what makes the figures doubtful. */
function remarksOf(comparison: Comparison): string[] {
  const failures = failuresOf(comparison)
  const others = Math.max(
    0,
    ...pairsOf(comparison).flatMap(({ plain, ours }) => [plain, ours].map((f) => f.otherCores ?? 0)),
  )
  const busy = `Something else kept up to ${number(others, 1)} cores of the machine busy; repeat it when the machine is idle.`
  const remarks = others > quietCores ? [...failures, busy] : failures
  return remarks.length > 0 ? ['', ...remarks] : []
}

function verdict(aim: Aim, ratio: number): string {
  const [words, isMet] =
    'atLeast' in aim ? [`≥ ${aim.atLeast}`, ratio >= aim.atLeast] : [`≤ ${aim.atMost}`, ratio <= aim.atMost]
  return `${words} ${isMet ? 'met' : 'not met'}`
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

export function number(value: number, digits: number): string {
  return value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
}
