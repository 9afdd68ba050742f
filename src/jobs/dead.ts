import { type Fingerprint, fingerprint } from '../policy/fingerprint.ts'
import { tenantIn } from './actions.ts'
import type { BullQueue } from './bull.ts'
import { decodeOrStored } from './codec.ts'

/** Which dead letters. Everything is optional; what is given must all fit. */
export type DeadFilter = {
  readonly group?: string | undefined
  /** In the id, the payload or the reason. */
  readonly text?: string | undefined
  readonly name?: string | undefined
  readonly tenant?: string | undefined
  /** Milliseconds since the epoch; when it died. */
  readonly since?: number | undefined
  readonly until?: number | undefined
  readonly ids?: readonly string[] | undefined
}

export type DeadJob = Fingerprint & {
  readonly id: string
  readonly name: string
  readonly tenant: string | null
  readonly diedAt: number
  readonly reason: string
  readonly attemptsMade: number
}

/** Small enough that nobody else waits for the store noticeably. */
const perRead = 200
const longestReason = 1_000

/**
 * How far a search has got: `read` counts every dead letter that it came by, `looked` those of the tenant that is searched for, who
 * must not learn how many others have.
 */
export class Looked {
  read = 0
  looked = 0
}

/** Dead letters, the newest first. Reads them piece by piece for as long as the caller goes on. */
export async function* findDead(
  queue: BullQueue,
  filter: DeadFilter,
  progress = new Looked(),
): AsyncGenerator<DeadJob> {
  for await (const page of pages(queue, filter)) {
    const jobs = await readDead(queue, page, filter.text !== undefined)
    for (const { job, data } of jobs) {
      progress.read += 1
      if (filter.tenant === undefined || job?.tenant === filter.tenant) progress.looked += 1
      if (job && fits(job, data, filter)) yield job
    }
  }
}

export type Entry = readonly [id: string, diedAt: number]

async function* pages(queue: BullQueue, { ids, since, until }: DeadFilter): AsyncGenerator<Entry[]> {
  const set = queue.toKey('failed')
  const least = since === undefined ? '-inf' : String(since)
  if (ids) {
    for (let i = 0; i < ids.length; i += perRead) {
      const some = ids.slice(i, i + perRead)
      const scores = await queue.redis.zmscore(set, ...some)
      yield some
        .map((id, at): Entry => [id, Number(scores[at] ?? Number.NaN)])
        .filter(([, at]) => at >= (since ?? 0) && at <= (until ?? Number.POSITIVE_INFINITY))
    }
    return
  }
  // By time and not by place: the set changes while it is read.
  let most = until === undefined ? '+inf' : String(until)
  let skip = 0
  for (;;) {
    const page = entries(await queue.redis.zrevrangebyscore(set, most, least, 'WITHSCORES', 'LIMIT', skip, perRead))
    yield page
    const last = page.at(-1)
    if (!last || page.length < perRead) return
    const same = page.filter(([, at]) => at === last[1]).length
    skip = String(last[1]) === most ? skip + same : same
    most = String(last[1])
  }
}

/** What Redis answers to WITHSCORES. */
export function entries(flat: readonly string[]): Entry[] {
  const found: Entry[] = []
  for (let i = 0; i + 1 < flat.length; i += 2) found.push([String(flat[i]), Number(flat[i + 1])])
  return found
}

/** What is known of dead jobs; undefined for one that was removed meanwhile. */
export async function readDead(
  queue: BullQueue,
  page: readonly Entry[],
  withData = false,
): Promise<{ job: DeadJob | undefined; data: string | null }[]> {
  const pipeline = queue.redis.pipeline()
  const fields = ['failedReason', 'stacktrace', 'name', 'opts', 'atm', ...(withData ? ['data'] : [])]
  for (const [id] of page) pipeline.hmget(queue.toKey(id), ...fields)
  const found = (await pipeline.exec()) ?? []
  return page.map(([id, diedAt], i) => {
    const [error, values] = found[i] ?? []
    if (error) throw error
    const [reason, stacktrace, name, opts, made, data = null] = (values ?? []) as (string | null)[]
    if (name === null || name === undefined) return { job: undefined, data: null }
    const said = reason ?? ''
    const job: DeadJob = {
      id,
      name,
      tenant: tenantIn(opts ?? '') ?? null,
      diedAt,
      reason: said.slice(0, longestReason),
      attemptsMade: Number(made ?? 0),
      ...fingerprint(said, lastStack(stacktrace, said)),
    }
    return { job, data }
  })
}

/** The stack of the attempt that was the last. Dropped and cancelled jobs have none, whatever failed before. */
function lastStack(stored: string | null | undefined, reason: string): string {
  try {
    const last = (JSON.parse(stored ?? '[]') as unknown[]).at(-1)
    return typeof last === 'string' && last.includes(reason.slice(0, 100)) ? last : ''
  } catch {
    return ''
  }
}

function fits(job: DeadJob, data: string | null, { group, text, name, tenant }: DeadFilter): boolean {
  if (tenant !== undefined && job.tenant !== tenant) return false
  if (name !== undefined && job.name !== name) return false
  if (group !== undefined && job.group !== group) return false
  return text === undefined || job.id === text || job.reason.includes(text) || payloadOf(data).includes(text)
}

function payloadOf(data: string | null): string {
  try {
    return JSON.stringify(decodeOrStored(JSON.parse(data ?? 'null'))) ?? ''
  } catch {
    return data ?? ''
  }
}
