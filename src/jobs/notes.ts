import { formatDuration } from '../define/duration.ts'
import type { RatePolicy } from '../define/queue/rate.ts'
import type { QueueLimits, QueueSummary } from './inspect.ts'

/* What holds a queue's jobs back, in a few words each, the same on the command line and on the dashboard. */

/** What somebody should look at comes first. */
export function warningsOf({ paused, pausedBy, pausedAt, breaker }: QueueSummary): readonly string[] {
  return [
    ...(paused
      ? [`paused${pausedBy ? ` by ${pausedBy}` : ''}${pausedAt ? ` since ${pausedAt.slice(0, 19)}Z` : ''}`]
      : []),
    ...(breaker === 'closed' ? [] : [`breaker ${breaker}`]),
  ]
}

/** Turns, order and limits, as they are in force. */
export function boundsOf({ limits }: QueueSummary): readonly string[] {
  const { concurrency, tenantConcurrency, tenantRate, gate } = limits
  const limit = limitWords(limits)
  return [
    ...(gate === 'order' ? ['in order by key'] : []),
    ...(gate === 'tenant' ? ['turns by tenant'] : []),
    ...(limit ? [`${limit}${limits.isSet ? ' (set)' : ''}`] : []),
    ...(concurrency === null ? [] : [`at most ${concurrency} in hand`]),
    ...(tenantConcurrency === null ? [] : [`${tenantConcurrency} in hand a tenant`]),
    ...(tenantRate ? [`${rateWords(tenantRate)} a tenant`] : []),
  ]
}

export function limitWords({ rate, isByKey }: QueueLimits): string | undefined {
  return rate ? `${rateWords(rate)}${isByKey ? ' a key' : ''}` : undefined
}

export function rateWords({ max, perMs }: RatePolicy): string {
  return `${max} starts in ${formatDuration(perMs)}`
}
