import { createHash } from 'node:crypto'
import type { AnyQueue } from '../../define/queue.ts'
import type { JobMeta } from '../bull.ts'

/** Keys are parts of Redis keys and shown to people; longer ones are hashed. */
const longestKey = 200

/**
 * Where a job stands in its queue: whose turns it takes and whose order it keeps. What an explicit tenant says (the source's, the
 * API key's) decides who may see the job; what the queue's own `tenant.by` says, with whom it shares. Throws what the
 * queue's functions throw.
 */
export function placeOf(
  { tenant: sharing, order, limit }: AnyQueue,
  payload: unknown,
  tenant: string | undefined,
): Pick<JobMeta, 'tenant' | 'group' | 'key' | 'limit'> {
  const by = sharing?.by(payload)
  const group = by === undefined ? undefined : shortKey(by)
  return {
    tenant: tenant ?? group,
    ...(group !== undefined && tenant !== undefined && group !== tenant ? { group } : {}),
    ...(order ? { key: shortKey(order.by(payload)) } : {}),
    ...(limit?.by ? { limit: shortKey(limit.by(payload)) } : {}),
  }
}

/** As it is in Redis. */
export function shortKey(given: unknown): string {
  const key = String(given)
  return key.length <= longestKey ? key : `sha256-${createHash('sha256').update(key).digest('base64url')}`
}

export function hasGate({ tenant, order, limit }: AnyQueue): boolean {
  return tenant !== undefined || order !== undefined || limit?.by !== undefined
}
