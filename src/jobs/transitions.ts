import { LRUCache } from 'lru-cache'
import { type BullQueue, metaOf, stateName } from './bull.ts'

/** A job came into a state, or said how far it is. */
export type Transition = {
  /** Of the entry in BullMQ's stream. */
  readonly id: string
  readonly state: string
  /** Undefined where the job has none, or has gone before anybody could ask. */
  readonly tenant: string | undefined
  readonly data: Readonly<Record<string, unknown>>
}

/** The last word of the topics of jobs. BullMQ tells more, which is about queues or of use to itself alone. */
export const transitionStates = [
  'waiting',
  'active',
  'completed',
  'failed',
  'delayed',
  'progress',
  'stalled',
  'removed',
  'waiting-children',
] as const

const told = new Set<string>([...transitionStates, 'prioritized'])
/** A reason or a progress may be of any length; whoever needs all of it asks for the job. */
const mostCharacters = 2_000
/** Of all queues together: a job's transitions come close to each other. */
const mostTenants = 50_000

/** Reads BullMQ's events. The tenant stands in the job alone, so it is asked for once for each job, all of a page in one round trip. */
export function createTransitions(): (
  queue: BullQueue,
  raw: readonly (readonly [id: string, fields: readonly string[]])[],
) => Promise<Transition[]> {
  const tenants = new LRUCache<string, { readonly tenant: string | undefined }>({ max: mostTenants })
  return async (queue, raw) => {
    const events = raw.flatMap(([id, fields]) => {
      const event = Object.fromEntries(pairs(fields))
      return event.event !== undefined && event.jobId !== undefined && told.has(event.event) ? [{ id, ...event }] : []
    }) as ({ id: string; event: string; jobId: string } & Record<string, string | undefined>)[]
    const known = await tenantsOf(queue, new Set(events.map(({ jobId }) => jobId)))
    return events.map(({ id, event, jobId, ...rest }) => ({
      id,
      state: stateName(event),
      tenant: known.get(jobId),
      data: { queue: queue.name, id: jobId, state: stateName(event), ...moreOf(event, rest) },
    }))
  }

  async function tenantsOf(
    queue: BullQueue,
    ids: ReadonlySet<string>,
  ): Promise<ReadonlyMap<string, string | undefined>> {
    const known = new Map<string, string | undefined>()
    const asked: string[] = []
    for (const id of ids) {
      const found = tenants.get(queue.toKey(id))
      if (found) known.set(id, found.tenant)
      else asked.push(id)
    }
    if (asked.length === 0) return known
    const pipeline = queue.redis.pipeline()
    for (const id of asked) pipeline.hget(queue.toKey(id), 'opts')
    const answers = (await pipeline.exec()) ?? []
    asked.forEach((id, i) => {
      const [error, opts] = answers[i] ?? [new Error('no answer')]
      // A tenant that is not known now must not be taken for none: the page is read again.
      if (error) throw error
      if (typeof opts !== 'string') return
      const { tenant } = metaOf({ opts: parsed(opts) ?? {} })
      tenants.set(queue.toKey(id), { tenant })
      known.set(id, tenant)
    })
    return known
  }
}

function moreOf(event: string, fields: Readonly<Record<string, string | undefined>>): Record<string, unknown> {
  if (event === 'failed') return { reason: fields.failedReason?.slice(0, mostCharacters) ?? null }
  if (event === 'delayed') return { until: fields.delay === undefined ? null : Number(fields.delay) }
  if (event !== 'progress') return {}
  const text = fields.data ?? 'null'
  return { progress: text.length > mostCharacters ? null : parsed(text) }
}

/** Whatever is in a stream, what follows it has to be told. */
function parsed<T>(text: string): T | undefined {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function* pairs(fields: readonly string[]): Generator<[string, string]> {
  for (let i = 0; i + 1 < fields.length; i += 2) yield [fields[i] ?? '', fields[i + 1] ?? '']
}
