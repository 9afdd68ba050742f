import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'
import type { Durability } from '../config.ts'
import { durationMs } from '../define/duration.ts'
import type { SourceEvent } from '../define/event.ts'
import type { AnyQueue } from '../define/queue.ts'
import { validate } from '../define/schema.ts'
import type { Enqueue, Enqueued, EnqueueOptions } from '../define/worker.ts'
import { MillraceError, messageOf } from '../errors.ts'
import type { Metrics } from '../observe/metrics.ts'
import { addArguments, type Extras, optionsWriter } from './add-script.ts'
import { Batch } from './batch.ts'
import { type BullQueue, bullJobOptions, type JobMeta } from './bull.ts'
import { encode } from './codec.ts'
import type { Inbox, InboxEntry } from './inbox.ts'
import { createJobIds } from './job-id.ts'

export type ProducerOptions = {
  readonly redis: Redis
  readonly queues: readonly AnyQueue[]
  readonly bull: ReadonlyMap<string, BullQueue>
  readonly prefix: string
  readonly durability: Durability
  readonly ackDeadlineMs: number
  readonly metrics: Metrics
  /** Where accepted events are entered; undefined when the inbox is off. */
  readonly inbox?: Inbox | undefined
  /** Why a job of so many bytes may not be stored now, e.g. memory above the watermark; undefined when it may. */
  readonly refusal: (queue: string, tenant: string | undefined, bytes: number) => string | undefined
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

  constructor(options: ProducerOptions) {
    this.#options = options
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
    await Promise.all([...this.#lanes.values()].map((lane) => lane.batch.drained()))
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

  #storeChecked(queue: AnyQueue, json: string, payload: unknown, options: EnqueueOptions): Promise<Enqueued> {
    return this.#store(queue, json, dedupeOf(queue, payload, options), {
      name: options.name ?? queue.name,
      meta: options.tenant === undefined ? {} : { tenant: options.tenant },
    })
  }

  /**
   * Stores a job for an event, once within `windowMs` for each queue. The payload has been checked by the caller.
   * A duplicate of an event whose job is dead revives that job: whoever sends it again wants it done.
   */
  readonly enqueueEvent = (
    queue: AnyQueue,
    event: SourceEvent,
    { windowMs, inbox }: { readonly windowMs: number; readonly inbox?: InboxEntry | undefined },
  ): Promise<Enqueued> => {
    const { source, id, alias, tenant, type, json } = event
    const refusal = this.#refusal(queue, tenant, json.length)
    if (refusal) return Promise.reject(refusal)
    const entry = inbox && this.#options.inbox?.entry(event, inbox, windowMs)
    return this.#store(
      queue,
      json,
      { id: `${source}-${id}`, ttl: windowMs },
      { name: type, meta: { source, event: id, alias, tenant } },
      { alias: alias === undefined ? undefined : `${source}-${alias}`, inbox: entry },
    )
  }

  async #store(
    queue: AnyQueue,
    json: string,
    dedupe: { id: string; ttl: number } | undefined,
    { name, meta }: { name: string; meta: JobMeta },
    extras: Extras = {},
  ): Promise<Enqueued> {
    const lane = this.#lanes.get(queue.name)
    if (!lane) throw new MillraceError('unknown-queue', `there is no queue '${queue.name}' in queues/`)
    const mine = this.#nextId()
    const id = await lane.batch.add(
      addArguments({
        id: mine,
        name,
        timestamp: Date.now(),
        json: encode(json),
        options: lane.writeOptions(dedupe ? { de: dedupe, meta } : { meta }),
        dedupe,
        extras,
      }),
    )
    if (id === mine) {
      this.#options.metrics.jobsEnqueued.inc({ queue: queue.name })
      return { id, duplicate: false }
    }
    await this.#reviveIfDead(queue, id)
    return { id, duplicate: true }
  }

  #refusal({ name }: AnyQueue, tenant: string | undefined, bytes: number): MillraceError | undefined {
    const refusal = this.#options.refusal(name, tenant, bytes)
    return refusal === undefined ? undefined : new MillraceError('store-unavailable', refusal, { retryAfter: 5 })
  }

  async #reviveIfDead(queue: AnyQueue, id: string): Promise<void> {
    const failed = `${this.#options.prefix}:${queue.name}:failed`
    try {
      if ((await this.#options.redis.zscore(failed, id)) === null) return
      const job = await this.#options.bull.get(queue.name)?.getJob(id)
      await job?.retry('failed', { resetAttemptsMade: true, resetAttemptsStarted: true })
    } catch (error) {
      // Two copies at once: the other one revived it. Anything else means that nobody may be told "it will be done".
      if (!/is not in the failed state|Missing key/.test(messageOf(error)))
        throw new MillraceError('store-unavailable', 'the store did not answer', { cause: error, retryAfter: 2 })
    }
  }
}

/** The payload as it will be stored. Throws `invalid-payload`. */
async function jsonOf(queue: AnyQueue, payload: unknown): Promise<string> {
  const json = stringify(queue, payload)
  // What is checked is what will be read back: a Date, say, is a text by then.
  await validate(queue.payload, JSON.parse(json), `job for '${queue.name}'`)
  return json
}

function stringify(queue: AnyQueue, payload: unknown): string {
  try {
    return JSON.stringify(payload) ?? 'null'
  } catch (error) {
    throw new MillraceError('invalid-payload', `job for '${queue.name}': not JSON: ${messageOf(error)}`, {
      cause: error,
    })
  }
}

function dedupeOf(queue: AnyQueue, payload: unknown, options: EnqueueOptions): { id: string; ttl: number } | undefined {
  const key = options.dedupeKey ?? queue.dedupe?.by(payload)
  if (key === undefined) return undefined
  const ttl =
    options.dedupeFor === undefined ? (queue.dedupe?.withinMs ?? dayMs) : durationMs(options.dedupeFor, 'dedupeFor')
  if (ttl < 1) throw new MillraceError('bad-request', `dedupeFor ${options.dedupeFor} is not at least '1ms'`)
  // Hashed, because a caller's key may be of any length and hold any character.
  return { id: `key-${createHash('sha256').update(key).digest('base64url')}`, ttl }
}
