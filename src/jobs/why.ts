import type { Job as BullJob, Worker as BullWorker } from 'bullmq'
import type { Redis } from 'ioredis'
import { messageOf } from '../errors.ts'
import type { Decision, Ended } from '../policy/decide.ts'
import { cancelledMark, type Why } from '../policy/why.ts'

/** The field of a job's hash that holds a {@link Why} as JSON. */
export const whyField = 'why'

/** Enough to recognise an error by; the whole of it is in the job's stack traces. */
const longestText = 200

export function whyOf(ended: Ended, decision: Decision, now: number): Why | undefined {
  if (ended.kind === 'done') return undefined
  const until = 'inMs' in decision && decision.inMs > 0 ? { until: now + decision.inMs } : {}
  const at = { at: now, ...until }
  switch (ended.kind) {
    case 'failed':
      return { code: decision.do === 'bury' ? 'dead' : 'backoff', ...at, error: short(messageOf(ended.error)) }
    case 'unfit':
      return { code: 'unfit', ...at, error: short(messageOf(ended.error)) }
    case 'deferred':
    case 'dropped':
    case 'cancelled':
    case 'expired':
      return { code: ended.kind, ...at, ...(ended.reason === undefined ? {} : { reason: short(ended.reason) }) }
    case 'rate-limited':
      return { code: ended.kind, ...at, ...(ended.key === undefined ? {} : { key: short(ended.key) }) }
    case 'newer-version':
      return { code: ended.kind, ...at, version: ended.version, times: ended.times + 1 }
    default:
      return { code: ended.kind, ...at }
  }
}

/** What a job says of itself; undefined when it says nothing, or nothing that can be read. */
export function readWhy(text: string | null | undefined): Why | undefined {
  try {
    return text ? (JSON.parse(text) as Why) : undefined
  } catch {
    return undefined
  }
}

/** Whether the handler has been called. */
export function wasStarted({ kind }: Ended): boolean {
  return kind !== 'newer-version' && kind !== 'breaker-open' && kind !== 'expired'
}

/** BullMQ buries a job by a mark that it finds on it: of those who counted how often it killed, or who cancelled it. */
function buriedUnasked(error: string, at: number): Why {
  return error.startsWith(cancelledMark)
    ? { code: 'cancelled', at, reason: short(error) }
    : { code: 'poison', at, error }
}

type Fields = Readonly<Record<string, string | number>>

/** KEYS[1] a job. ARGV: fields and values. Never makes a job of one that is gone. */
const noteScript = `if redis.call('EXISTS', KEYS[1]) == 1 then redis.call('HSET', KEYS[1], unpack(ARGV)) end`

/**
 * What is to be written into a job when its attempt ends. BullMQ's scripts that put a job off or bury it write fields
 * anyway (the reason, the stack); ours go with them, in the same call. The script that puts a job back at once does not:
 * there, and only there, it takes a call of its own.
 */
export class Notes {
  readonly #redis: Redis
  readonly #bull: BullWorker
  readonly #notes = new Map<string, Fields>()

  constructor(bull: BullWorker, redis: Redis) {
    this.#redis = redis
    this.#bull = bull
    const backend = bull.getBackend()
    const moveToDelayed = backend.moveToDelayed.bind(backend)
    const retryJob = backend.retryJob.bind(backend)
    const moveToFailed = backend.moveToFailed.bind(backend)
    backend.moveToDelayed = (id, now, delay, token, options) =>
      moveToDelayed(id, now, delay, token, this.#inOptions(id, options))
    backend.retryJob = (id, lifo, token, options) => retryJob(id, lifo, token, this.#inOptions(id, options))
    backend.moveToFailed = (job, reason, keep, token, fetchNext, fields) => {
      // Buried by BullMQ, which did not ask us.
      const { deferredFailure: error } = job as { deferredFailure?: string }
      if (error) this.write(job, { [whyField]: JSON.stringify(buriedUnasked(error, Date.now())) })
      return moveToFailed(job, reason, keep, token, fetchNext, { ...fields, ...this.#take(job.id ?? '') })
    }
  }

  /** Written together with the move that ends the attempt. */
  write({ id = '' }: { readonly id?: string | undefined }, fields: Fields): void {
    this.#notes.set(id, fields)
  }

  /** Puts a job back to be the next one, and uses up no attempt. */
  async moveToWait(bullJob: BullJob, token: string, fields: Fields): Promise<void> {
    // Before, on the same connection: afterwards somebody else may have it already. A full store may refuse, which is no matter.
    this.#redis
      .eval(noteScript, 1, this.#bull.toKey(bullJob.id ?? ''), ...Object.entries(fields).flat())
      .catch(() => {})
    await bullJob.moveToWait(token)
  }

  #take(id: string): Fields | undefined {
    const note = this.#notes.get(id)
    if (note) this.#notes.delete(id)
    return note
  }

  #inOptions<O extends { fieldsToUpdate?: object }>(id: string, options: O | undefined): O | undefined {
    const note = this.#take(id)
    // With no fields at all the script would write nothing, which Redis refuses.
    return note ? ({ ...options, fieldsToUpdate: { ...options?.fieldsToUpdate, ...note } } as O) : options
  }
}

function short(text: string): string {
  return text.length > longestText ? `${text.slice(0, longestText - 1)}…` : text
}
