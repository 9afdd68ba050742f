import type { Redis } from 'ioredis'
import { eventBody } from './body.ts'
import { type Entry, perRead, type Raw, type Source } from './feed.ts'
import { beginning, compare, idOf, type Position, positionOf } from './position.ts'
import { jobsWord } from './topics.ts'

/** What a queue's stream of events says, in the words of whoever knows them. */
export type Transitions = (raw: readonly Raw[]) => Promise<
  readonly {
    readonly id: string
    readonly state: string
    readonly tenant: string | undefined
    readonly data: Readonly<Record<string, unknown>>
  }[]
>

const perPage = 1_000
/** BullMQ trims its streams at about so many. */
const trimmedAt = 10_000

/** The stream of events of one queue, which BullMQ writes and trims; its entries know nothing of each other. */
export function jobSource({
  queue,
  key,
  redis,
  transitions,
}: {
  queue: string
  key: string
  redis: Redis
  transitions: Transitions
}): Source {
  const decode = async (raw: readonly Raw[]): Promise<Entry[]> =>
    (await transitions(raw)).map(({ id, state, tenant, data }) => {
      const at = positionOf(id)
      const topic = `${jobsWord}.${queue}.${state}`
      return {
        at,
        tenant,
        words: [jobsWord, queue, state],
        body: eventBody({ topic, time: at.ms, tenant: tenant ?? null, data: JSON.stringify(data) }),
      }
    })

  /** Streams are trimmed from their beginning only. */
  const isWhole = async (after: Position): Promise<boolean> => {
    if (compare(after, beginning) === 0) return (await redis.xlen(key)) < trimmedAt
    const [first] = await redis.xrange(key, '-', '+', 'COUNT', 1)
    return first !== undefined && compare(positionOf(first[0]), after) <= 0
  }

  return {
    name: `${jobsWord}.${queue}`,
    key,
    isChained: false,
    newest: async () => {
      const [last] = await redis.xrevrange(key, '+', '-', 'COUNT', 1)
      return last ? positionOf(last[0]) : beginning
    },
    decode: async (raw, after) => {
      const last = raw.at(-1)
      const [first] = raw
      const entries = await decode(raw)
      // Who reads a few at a time is close behind; only a whole page may be one that trimming has got at.
      const isLost = raw.length >= perRead && first !== undefined && !(await isWhole(after))
      return {
        entries,
        last: last ? positionOf(last[0]) : after,
        lostUntil: isLost ? before(positionOf(first[0])) : undefined,
      }
    },
    between: async (after, to) => {
      const entries: Entry[] = []
      let first: Position | undefined
      for (let from = after; compare(from, to) < 0; ) {
        const page = (await redis.xrange(key, `(${idOf(from)}`, idOf(to), 'COUNT', perPage)) as Raw[]
        const last = page.at(-1)
        if (!last) break
        first ??= positionOf(page[0]?.[0] ?? last[0])
        entries.push(...(await decode(page)))
        from = positionOf(last[0])
        if (page.length < perPage) break
      }
      // Asked afterwards: what was trimmed meanwhile counts as lost, and not the other way round.
      return { entries, last: to, lostUntil: (await isWhole(after)) ? undefined : first ? before(first) : to }
    },
  }
}

function before({ ms, seq }: Position): Position {
  return seq > 0 ? { ms, seq: seq - 1 } : { ms: ms - 1, seq: 2 ** 32 }
}
