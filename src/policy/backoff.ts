import type { BackoffPolicy } from '../define/queue.ts'

/**
 * Milliseconds to wait after the `failures`-th failed attempt: base × 2^(failures − 1), capped at max, of which the share
 * `jitter` is random. `random` gives numbers in [0, 1).
 */
export function backoffMs(
  policy: Readonly<Omit<BackoffPolicy, 'attempts'>>,
  failures: number,
  random: () => number,
): number {
  // The exponent is capped because 2^1024 is Infinity, and Infinity × 0 is no number.
  const full = Math.min(policy.maxMs, policy.baseMs * 2 ** Math.min(failures - 1, 50))
  return Math.round(full * (1 - policy.jitter * random()))
}
