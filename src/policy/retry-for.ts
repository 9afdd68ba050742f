import type { BackoffPolicy, RetryPolicy } from '../define/queue.ts'

/** What holds for this error: the first of its names that the queue's `retry.on` knows, else the queue's own numbers. */
export function retryFor(error: unknown, policy: Readonly<RetryPolicy>): Readonly<BackoffPolicy> | 'never' {
  if (policy.on.size === 0) return policy
  for (const name of namesOf(error)) {
    const own = policy.on.get(name)
    if (own !== undefined) return own
  }
  return policy
}

/** The most attempts that any error of this queue can have. */
export function mostAttempts(policy: Readonly<RetryPolicy>): number {
  return Math.max(policy.attempts, ...[...policy.on.values()].map((own) => (own === 'never' ? 1 : own.attempts)))
}

/**
 * The names of an error, the most telling first: the one it was given (`error.name = 'CardDeclined'`), its class, the classes
 * that this extends, and last its `code`. What caused it is another error, and not looked at.
 */
export function namesOf(error: unknown): readonly string[] {
  if (typeof error !== 'object' || error === null) return []
  const classes: string[] = []
  for (let at = Object.getPrototypeOf(error); at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at))
    if (typeof at.constructor === 'function' && at.constructor.name) classes.push(at.constructor.name)
  const { name, code } = error as { name?: unknown; code?: unknown }
  // Most classes leave the name at 'Error', which says less than the class does.
  const given = typeof name === 'string' && name !== '' && !classes.includes(name) ? [name] : []
  const coded = typeof code === 'string' || typeof code === 'number' ? [String(code)] : []
  return [...given, ...classes, ...coded]
}
