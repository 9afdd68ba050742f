/** Why a job is where it is, in one word. `docs/explain.md` has a line for each. */
export const explainCodes = [
  'completed',
  'dead',
  'expired',
  'cancelled',
  'dropped',
  'unfit',
  'poison',
  'running',
  'lost-worker',
  'waiting-for-children',
  'delayed-until',
  'backoff',
  'deferred',
  'rate-limited',
  'newer-version',
  'store-refuses-writes',
  'queue-paused',
  'no-worker',
  'breaker-open',
  'queue-rate-limit',
  'queue-concurrency',
  'key-busy',
  'key-limited',
  'tenant-cap',
  'tenant-rate',
  'tenant-turn',
  'slots-busy',
  'next',
] as const
export type ExplainCode = (typeof explainCodes)[number]

export type Explanation = {
  readonly code: ExplainCode
  /** One or two sentences for people. */
  readonly words: string
  readonly todo: string
  /** When it is expected to change by itself, ISO 8601; null when nobody can know. */
  readonly until: string | null
  /** The figures behind the words. */
  readonly facts: Readonly<Record<string, string | number | null>>
}

export function said(
  code: ExplainCode,
  words: string,
  todo: string,
  facts: Explanation['facts'] = {},
  until?: number | undefined,
): Explanation {
  return { code, words, todo, until: iso(until) ?? null, facts }
}

export function iso(ms: number | undefined): string | undefined {
  return ms === undefined ? undefined : new Date(ms).toISOString()
}
