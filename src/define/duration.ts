import { MillraceError } from '../errors.ts'

/** A length of time with its unit: `'250ms'`, `'30s'`, `'10m'`, `'1h'`, `'14d'`. */
export type Duration = `${number}${'ms' | 's' | 'm' | 'h' | 'd'}`

const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** Milliseconds of a duration, or undefined when the text is none. Raw numbers are refused: they hide their unit. */
export function parseDuration(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text)
  if (!match?.[1] || !match[2]) return undefined
  const ms = Number(match[1]) * unitMs[match[2] as keyof typeof unitMs]
  return Number.isSafeInteger(Math.round(ms)) ? Math.round(ms) : undefined
}

/** As {@link parseDuration}, for definitions: anything else is an `invalid-definition`. */
export function durationMs(value: Duration, where: string): number {
  const ms = typeof value === 'string' ? parseDuration(value) : undefined
  if (ms === undefined)
    throw new MillraceError(
      'invalid-definition',
      `${where} is ${JSON.stringify(value)}; write a duration such as '30s' or '10m'`,
    )
  return ms
}

/** A duration for people: `90_000` → `1.5m`. */
export function formatDuration(ms: number): string {
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    if (ms >= unitMs[unit]) return `${Number((ms / unitMs[unit]).toFixed(1))}${unit}`
  }
  return `${Math.round(ms)}ms`
}
