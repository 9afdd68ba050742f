import type { EventOptions, InboxEntry, SourceEvent } from '../define/event.ts'
import type { AnyQueue } from '../define/queue.ts'
import { validate } from '../define/schema.ts'
import type { Enqueued } from '../define/worker.ts'
import { MillraceError, messageOf } from '../errors.ts'
import { takes } from '../policy/route.ts'
import type { Accepted } from './accepted.ts'

export type EnqueueEvent = (queue: AnyQueue, event: SourceEvent, options: EventOptions) => Promise<Enqueued>

/** Runs a job again if it is dead. Throws `store-unavailable`. */
export type Revive = (queue: AnyQueue, id: string) => Promise<void>

export type Delivered = {
  /** Every queue that takes it had it already. */
  readonly duplicate: boolean
  /** Why somebody has to look at it. */
  readonly quarantined: string | undefined
}

/**
 * Stores an accepted request in every queue that takes it. Resolves when all have it durably. Throws `store-unavailable`,
 * and `shed` when it is not yet promised.
 */
export type Deliver = (accepted: Accepted, options?: Pick<EventOptions, 'isPromised'>) => Promise<Delivered>

export function createDeliver({
  queues,
  quarantine,
  enqueueEvent,
  revive,
}: {
  queues: readonly AnyQueue[]
  /** Where genuine requests go that no queue takes. */
  quarantine: AnyQueue
  enqueueEvent: EnqueueEvent
  revive: Revive
}): Deliver {
  const routes = new Map<string, readonly AnyQueue[]>()

  return async (accepted, options) => {
    const { type, json, reason: unreadable } = accepted
    const event = type === undefined || json === undefined ? undefined : eventOf(accepted, type, json)
    const checked = event ? check(queuesFor(event), event) : nothing
    const { fitting, misfit } = checked instanceof Promise ? await checked : checked
    // A queue whose schema does not fit keeps the event from nobody else, but somebody has to see it.
    const reason = unreadable ?? misfit ?? (fitting.length === 0 ? `no queue takes ${type}` : undefined)
    const taking: (readonly [AnyQueue, SourceEvent])[] = []
    if (event) for (const queue of fitting) taking.push([queue, event])
    if (reason !== undefined) taking.push([quarantine, quarantined(accepted, reason)])
    const windowMs = accepted.dedupeWindowMs
    const inbox = entryOf(accepted, taking)
    const [only] = taking
    // The same as below, for what nearly every event is: one job, which needs no lists.
    if (only && taking.length === 1) {
      const [queue, what] = only
      // Named one by one: copying `options` took as long as all of the checks.
      const { id, duplicate } = await enqueueEvent(queue, what, { windowMs, inbox, isPromised: options?.isPromised })
      if (duplicate) await revive(queue, id)
      return { duplicate, quarantined: reason }
    }
    const storing = taking.map(([queue, what], i) =>
      enqueueEvent(queue, what, { ...options, windowMs, inbox: i === 0 ? inbox : undefined }),
    )
    const stored = await Promise.all(storing)
    // All or nothing: with one queue failing it comes again, and the others recognise the repetition. Only then is revived
    // what is dead: whoever sends it again wants it done, but our own tries are nobody's wish.
    const again = stored.flatMap(({ id, duplicate }, i) => (duplicate ? [[taking[i]?.[0], id] as const] : []))
    for (const [queue, id] of again) if (queue) await revive(queue, id)
    return { duplicate: stored.every((job) => job.duplicate), quarantined: reason }
  }

  function queuesFor(event: SourceEvent): readonly AnyQueue[] {
    const key = `${event.source}:${event.type}`
    let taking = routes.get(key)
    if (!taking) {
      taking = queues.filter((queue) => takes(queue.on, event))
      // Types come from outside (a slash command's name, say); the cache must not grow with them.
      if (routes.size < 10_000) routes.set(key, taking)
    }
    return taking
  }
}

/** The queues that can take the event, and why the first one that cannot does not. */
type Checked = { readonly fitting: readonly AnyQueue[]; readonly misfit: string | undefined }

const nothing: Checked = { fitting: [], misfit: undefined }

/** A promise only where a schema is asynchronous: hardly any is, and each costs. */
function check(queues: readonly AnyQueue[], event: SourceEvent): Checked | Promise<Checked> {
  const [only] = queues
  if (only && queues.length === 1) {
    const why = misfitOf(only, event)
    const sortOne = (misfit: string | undefined): Checked => ({ fitting: misfit === undefined ? queues : [], misfit })
    return why instanceof Promise ? why.then(sortOne) : sortOne(why)
  }
  const misfits = queues.map((queue) => misfitOf(queue, event))
  const sort = (whys: readonly (string | undefined)[]): Checked => ({
    fitting: queues.filter((_, i) => whys[i] === undefined),
    misfit: whys.find((why) => why !== undefined),
  })
  const isSettled = (whys: typeof misfits): whys is (string | undefined)[] =>
    !whys.some((why) => why instanceof Promise)
  return isSettled(misfits) ? sort(misfits) : Promise.all(misfits).then(sort)
}

/** Why the queue cannot take the event; undefined when it can. */
function misfitOf(queue: AnyQueue, { payload, type }: SourceEvent): string | undefined | Promise<string | undefined> {
  try {
    // What names the queue's own kind of sameness, and where the job is to stand, has to work as well.
    queue.dedupe?.by(payload)
    queue.tenant?.by(payload)
    queue.order?.by(payload)
    queue.limit?.by?.(payload)
    const checked = validate(queue.payload, payload, `${type} for '${queue.name}'`)
    return checked instanceof Promise ? checked.then(() => undefined, messageOf) : undefined
  } catch (error) {
    return messageOf(error)
  }
}

function eventOf(
  { source, sourceType, id, alias, tenant, payload }: Accepted,
  type: string,
  json: string,
): SourceEvent {
  return { source, sourceType, type, id, alias, tenant, json, payload }
}

/** Headers are kept only where they help to read the body: others may carry credentials. */
function quarantined(accepted: Accepted, reason: string): SourceEvent {
  const { source, sourceType, id, tenant, type = 'unreadable', contentType = null, receivedAt, body } = accepted
  const payload = {
    source,
    event: id,
    reason,
    contentType,
    receivedAt: new Date(receivedAt).toISOString(),
    body: body.toString('base64'),
  }
  return { source, sourceType, type, id, tenant, json: JSON.stringify(payload), payload }
}

function entryOf(
  { receivedAt, keepRaw, body, contentType, type, json }: Accepted,
  taking: readonly (readonly [AnyQueue, SourceEvent])[],
): InboxEntry {
  const [first] = taking
  return {
    queues: taking.map(([queue]) => queue.name),
    receivedAt,
    // What is entered is what can be routed again; where the first job's payload is another, it comes along.
    json: first?.[1].json === json ? undefined : json,
    isReadable: type !== undefined,
    raw: keepRaw ? body : undefined,
    contentType: keepRaw ? contentType : undefined,
  }
}

/** The queue for what no other takes. Throws `invalid-definition`. */
export function quarantineOf(queues: readonly AnyQueue[]): AnyQueue {
  const quarantine = queues.find((queue) => queue.name === 'quarantine')
  if (!quarantine)
    throw new MillraceError(
      'invalid-definition',
      'queues/quarantine.ts is missing: genuine requests that no queue takes need a place',
    )
  return quarantine
}
