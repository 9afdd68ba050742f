import type { Durability } from '../config.ts'
import { durationMs } from '../define/duration.ts'
import type { EventOptions, SourceEvent } from '../define/event.ts'
import type { AnyQueue } from '../define/queue.ts'
import { validate } from '../define/schema.ts'
import type { Enqueue, Enqueued, EnqueueOptions } from '../define/worker.ts'
import { MillraceError, messageOf } from '../errors.ts'
import type { Metrics } from '../observe/metrics.ts'
import { supersededMark } from '../policy/why.ts'
import type { CorkedRedis } from '../redis/corked.ts'
import { addArguments, type Extras, optionsWriter } from './add-script.ts'
import { aliasMs } from './alias.ts'
import { Batch } from './batch.ts'
import { type BullQueue, bullJobOptions, eventKey, hashedKey, type JobMeta, withVersion } from './bull.ts'
import { encode } from './codec.ts'
import { fsynced } from './fsynced.ts'
import { placeOf } from './gate/place.ts'
import { TermsWriter } from './gate/terms.ts'
import type { Inbox } from './inbox.ts'
import { createJobIds } from './job-id.ts'
import type { Shedder } from './shedder.ts'
import { type Apart, apartOf, createSingleAdd, isApart, type SingleAdd, storedOptions } from './single-add.ts'

export type ProducerOptions = {
  readonly redis: CorkedRedis
  readonly queues: readonly AnyQueue[]
  readonly bull: ReadonlyMap<string, BullQueue>
  readonly prefix: string
  readonly durability: Durability
  readonly ackDeadlineMs: number
  readonly metrics: Metrics
  /** Where accepted events are entered; undefined when the inbox is off. */
  readonly inbox?: Inbox | undefined
  /** Says no to new work: above the watermark to all of it, before that to some. */
  readonly shedder: Pick<Shedder, 'isFull' | 'isOver'>
}

/** What is the same for all jobs of a queue. */
type Lane = {
  readonly batch: Batch
  readonly writeOptions: ReturnType<typeof optionsWriter>
}

const dayMs = 86_400_000

/**
 * The way into the queues. Every add joins its queue's batch; its promise resolves when the store has acknowledged that
 * very job, which with `appendfsync always` means that it is on disk.
 */
export class Producer {
  readonly name = 'producer'
  readonly #options: ProducerOptions
  readonly #lanes: Map<string, Lane>
  readonly #nextId = createJobIds()
  readonly #single: SingleAdd
  readonly #terms: TermsWriter

  constructor(options: ProducerOptions) {
    this.#options = options
    this.#single = createSingleAdd(options)
    this.#terms = new TermsWriter(options.redis, options.prefix)
    this.#lanes = new Map(
      options.queues.map((queue) => [
        queue.name,
        {
          batch: new Batch({ ...options, queue: queue.name }),
          writeOptions: optionsWriter(bullJobOptions(queue)),
        },
      ]),
    )
  }

  /** Resolves when every add so far has an answer. */
  async stop(): Promise<void> {
    await Promise.all([...[...this.#lanes.values()].map((lane) => lane.batch.drained()), this.#single.drained()])
  }

  /**
   * Stores a job for code that has a payload. Throws `invalid-payload` with the fields, `store-unavailable` when the
   * store did not acknowledge in time; then it is not known whether the job was stored, and only an add with the same
   * `dedupeKey` may be repeated without doubt.
   */
  readonly enqueue: Enqueue = async (queue, payload, options = {}) => {
    const json = await jsonOf(queue, payload)
    const refusal = this.#refusal(queue, options.tenant, json.length)
    if (refusal) throw refusal
    return this.#storeChecked(queue, json, payload, options)
  }

  /** As {@link enqueue}, above the watermark too: a worker that may not finish its job would keep the store full. */
  readonly enqueueFromWorker: Enqueue = async (queue, payload, options = {}) => {
    return this.#storeChecked(queue, await jsonOf(queue, payload), payload, options)
  }

  /** A duplicate of a job that is dead revives it: whoever adds it again wants it done. */
  async #storeChecked(queue: AnyQueue, json: string, payload: unknown, options: EnqueueOptions): Promise<Enqueued> {
    const [name, dedupe] = [options.name ?? queue.name, dedupeOf(queue, payload, options)]
    const apart = apartOf(queue, payload, options, dedupe)
    const due = Date.now() + (apart?.delayMs ?? 0)
    const meta = {
      ...placeOf(queue, payload, options.tenant),
      ...(options.expires === undefined ? {} : { expires: due + durationMs(options.expires, 'expires') }),
    }
    const added = await (apart
      ? this.#storeApart(queue, json, apart, { name, meta })
      : this.#store(queue, json, dedupe, { name, meta }))
    if (added.duplicate) await this.revive(queue, added.id)
    return added
  }

  /**
   * Stores a job for an event, once within `windowMs` for each queue. The payload has been checked by the caller.
   * A duplicate of an event whose job is dead leaves it dead: see {@link revive}. Throws `shed` when the queue is over its budget or the tenant over its part of
   * a nearly full store, unless the event `isPromised`, and `store-unavailable`.
   */
  readonly enqueueEvent = (
    queue: AnyQueue,
    event: SourceEvent,
    { windowMs, inbox, isPromised = false }: EventOptions,
  ): Promise<Enqueued> => {
    const { source, id, tenant, type, json, payload } = event
    const refusal = this.#refusal(queue, tenant, json.length, isPromised)
    if (refusal) return Promise.reject(refusal)
    const entry = inbox && this.#options.inbox?.entry(event, inbox, windowMs)
    const whose = tenant === undefined ? {} : { tenant }
    if (isApart(queue)) {
      const guard = { id: eventKey(source, id), ttl: windowMs }
      const apart = { ...apartOf(queue, payload, whose, undefined), guard } as Apart
      return this.#storeApart(
        queue,
        json,
        apart,
        { name: type, meta: { source, event: id, ...placeOf(queue, payload, tenant) } },
        entry,
      )
    }
    // The queue's own word for sameness goes before the provider's second one; the script knows one beside the event's id.
    const own = dedupeOf(queue, payload, whose)
    const alias = own?.id ?? (event.alias === undefined ? undefined : eventKey(source, event.alias))
    return this.#store(
      queue,
      json,
      { id: eventKey(source, id), ttl: windowMs },
      { name: type, meta: { source, event: id, alias, ...placeOf(queue, payload, tenant) } },
      { alias, aliasMs: own?.ttl ?? (windowMs > aliasMs ? windowMs : undefined), inbox: entry },
    )
  }

  async #store(
    queue: AnyQueue,
    json: string,
    dedupe: { id: string; ttl: number } | undefined,
    { name, meta: own }: { name: string; meta: JobMeta },
    extras: Extras = {},
  ): Promise<Enqueued> {
    const lane = this.#lanes.get(queue.name)
    if (!lane) throw new MillraceError('unknown-queue', `there is no queue '${queue.name}' in queues/`)
    const terms = this.#terms.ensure(queue, own.group ?? own.tenant ?? '')
    if (terms) await terms
    const mine = this.#nextId()
    const meta = withVersion(own, queue)
    const id = await lane.batch.add(
      addArguments({
        id: mine,
        name,
        timestamp: Date.now(),
        json: encode(json),
        options: lane.writeOptions({ de: dedupe, meta }),
        dedupe,
        extras,
      }),
    )
    if (id === mine) {
      this.#options.metrics.jobsEnqueued.inc({ queue: queue.name })
      return { id, duplicate: false }
    }
    return { id, duplicate: true }
  }

  /** As {@link #store}, for jobs with a delay and for queues whose jobs make room for each other. */
  async #storeApart(
    queue: AnyQueue,
    json: string,
    apart: Apart,
    { name, meta: own }: { name: string; meta: JobMeta },
    inbox?: Extras['inbox'],
  ): Promise<Enqueued> {
    const lane = this.#lanes.get(queue.name)
    if (!lane) throw new MillraceError('unknown-queue', `there is no queue '${queue.name}' in queues/`)
    const terms = this.#terms.ensure(queue, own.group ?? own.tenant ?? '')
    if (terms) await terms
    const mine = this.#nextId()
    const meta = withVersion(own, queue)
    const options = lane.writeOptions({
      ...storedOptions(apart),
      meta: apart.guard ? { ...meta, alias: apart.guard.id } : meta,
    })
    const id = await this.#single.add({ queue: queue.name, id: mine, name, data: encode(json), options, apart, inbox })
    if (id === mine) this.#options.metrics.jobsEnqueued.inc({ queue: queue.name })
    return { id, duplicate: id !== mine }
  }

  #refusal(
    { name }: AnyQueue,
    tenant: string | undefined,
    bytes: number,
    isPromised = false,
  ): MillraceError | undefined {
    const { isFull, isOver } = this.#options.shedder
    const full = isFull()
    if (full !== undefined) return new MillraceError('store-unavailable', full, { retryAfter: 5 })
    const over = isPromised ? undefined : isOver(name, tenant, bytes)
    return over === undefined ? undefined : new MillraceError('shed', over, { retryAfter: 5 })
  }

  /** Runs a job again if it is dead, and not because a newer one took its place. Throws `store-unavailable`. */
  readonly revive = async (queue: AnyQueue, id: string): Promise<void> => {
    const failed = `${this.#options.prefix}:${queue.name}:failed`
    try {
      if ((await this.#options.redis.zscore(failed, id)) === null) return
      const job = await this.#options.bull.get(queue.name)?.getJob(id)
      if (!job) throw new Error('the dead job was just removed')
      if (job.failedReason?.startsWith(supersededMark)) return
      await job.retry('failed', { resetAttemptsMade: true, resetAttemptsStarted: true })
      await this.#fsynced()
    } catch (error) {
      // Two copies at once: the other one revived it. Anything else means that nobody may be told "it will be done".
      if (!/is not in the failed state/.test(messageOf(error)))
        throw new MillraceError('store-unavailable', 'the store did not answer', { cause: error, retryAfter: 2 })
    }
  }

  /** With WAITAOF, what was written on the connection of the queues has to be asked for as well. */
  async #fsynced(): Promise<void> {
    const { durability, ackDeadlineMs, bull } = this.#options
    const [any] = bull.values()
    if (any) await fsynced(any.redis, durability, ackDeadlineMs)
  }
}

/** The payload as it will be stored. Throws `invalid-payload`. */
export async function jsonOf(queue: AnyQueue, payload: unknown): Promise<string> {
  const json = stringify(queue, payload)
  // What is checked is what will be read back: a Date, say, is a text by then.
  await validate(queue.payload, JSON.parse(json), `job for '${queue.name}'`)
  return json
}

/** The payload as JSON text. Throws `invalid-payload` for what has none. */
export function stringify(queue: AnyQueue, payload: unknown): string {
  try {
    return JSON.stringify(payload) ?? 'null'
  } catch (error) {
    throw new MillraceError('invalid-payload', `job for '${queue.name}': not JSON: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

export function dedupeOf(
  queue: AnyQueue,
  payload: unknown,
  options: EnqueueOptions,
): { id: string; ttl: number } | undefined {
  const own = isApart(queue) ? undefined : queue.dedupe
  const key = options.dedupeKey ?? own?.by(payload)
  if (key === undefined) return undefined
  const ttl = options.dedupeFor === undefined ? (own?.withinMs ?? dayMs) : durationMs(options.dedupeFor, 'dedupeFor')
  if (ttl < 1) throw new MillraceError('bad-request', `dedupeFor ${options.dedupeFor} is not at least '1ms'`)
  return { id: hashedKey(key, options.tenant), ttl }
}
