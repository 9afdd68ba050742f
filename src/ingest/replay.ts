import { MillraceError } from '../errors.ts'
import type { Accepted } from './accepted.ts'
import type { Deliver, Delivered } from './deliver.ts'

/** An event of the inbox, as far as routing it again needs it. */
export type Replayable = {
  readonly event: string
  readonly source: string
  readonly sourceType: string
  readonly type: string
  readonly tenant: string | null
  readonly isReadable: boolean
  readonly windowMs: number
  /** JSON text; null when the inbox does not have it. */
  readonly data: string | null
  readonly contentType: string | null
}

/** Whether it can be put through routing again: it was understood, and the inbox has its payload. */
export function isReplayable({ isReadable, data }: Pick<Replayable, 'isReadable' | 'data'>): boolean {
  return isReadable && data !== null
}

/** Whether the event is a replay of another. Providers' own ids hold no `~`. */
export function isReplay({ event }: { readonly event: string }): boolean {
  return event.includes('~')
}

/** What distinguishes one replay of an event from the event itself and from other replays. */
export function replayMark(now: number): string {
  return `r${now.toString(36)}`
}

/**
 * Puts an event through routing again, with the queues and schemas as they are now. It is another event by its id, so no
 * deduplication stops it; the same `mark` again is a repetition. Throws `bad-request` for what was never understood.
 */
export function replay(deliver: Deliver, found: Replayable, mark: string, now: number): Promise<Delivered> {
  const { event, source, sourceType, type, tenant, isReadable, windowMs, data, contentType } = found
  if (!isReadable)
    return Promise.reject(
      new MillraceError('bad-request', `${event} was never understood; it can only be looked at, in quarantine`),
    )
  if (data === null)
    return Promise.reject(
      new MillraceError('bad-request', `${event} was too large for the inbox; retry its job instead`),
    )
  const accepted: Accepted = {
    source,
    sourceType,
    dedupeWindowMs: windowMs,
    keepRaw: false,
    id: `${event.replace(/~[\w-]+$/, '')}~${mark}`,
    tenant: tenant ?? undefined,
    contentType: contentType ?? undefined,
    receivedAt: now,
    type,
    reason: undefined,
    json: data,
    payload: JSON.parse(data),
    body: Buffer.from(data),
  }
  return deliver(accepted, { isPromised: true })
}
