/** What is remembered of failures of one cause. Times are milliseconds since the epoch. */
export type GroupMemory = {
  readonly title: string
  readonly first: number
  readonly last: number
  /** When it came back last, after somebody thought it over. */
  readonly back?: number
  readonly why?: 'redriven' | 'quiet'
}

/** More than a day, or what fails once each night would come back each night. */
const quietMs = 48 * 3_600_000

/** What is remembered after one more failure, at `at`; failures are told in the order in which they happened. */
export function remember(
  known: GroupMemory | undefined,
  { title, at, redrivenAt }: { title: string; at: number; redrivenAt: number | undefined },
): GroupMemory {
  if (!known) return { title, first: at, last: at }
  const seen = { ...known, title, first: Math.min(known.first, at), last: Math.max(known.last, at) }
  if (redrivenAt !== undefined && at > redrivenAt && (known.back ?? 0) <= redrivenAt)
    return { ...seen, back: at, why: 'redriven' }
  if (at - known.last > quietMs) return { ...seen, back: at, why: 'quiet' }
  return seen
}
