const days = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)'
const time = '\\d{2}:\\d{2}:\\d{2}'
/** The three forms that RFC 9110 has readers accept: of today, of RFC 850, and of C's asctime(). */
const httpDate = new RegExp(
  `^(?:${days}, \\d{2} \\w{3} \\d{4} ${time} GMT|\\w+day, \\d{2}-\\w{3}-\\d{2} ${time} GMT|${days} \\w{3} [ \\d]\\d ${time} \\d{4})$`,
)

/**
 * Milliseconds that a Retry-After header asks for, seconds or an HTTP-date; 0 for a date that has passed, undefined for
 * anything that is neither.
 */
export function retryAfterMs(text: string, now: number): number | undefined {
  const value = text.trim()
  // RFC 9110 has whole seconds only; some servers send fractions.
  if (/^\d+(?:\.\d+)?$/.test(value)) return Math.round(Number(value) * 1_000)
  if (!httpDate.test(value)) return undefined
  // asctime() names no zone, and without one Date would take it for local time.
  const at = Date.parse(value.endsWith('GMT') ? value : `${value} GMT`)
  return Number.isNaN(at) ? undefined : Math.max(0, at - now)
}
