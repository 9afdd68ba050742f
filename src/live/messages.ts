import type { Redis } from 'ioredis'
import { MillraceError } from '../errors.ts'
import { eventBody } from './body.ts'
import type { Part, Raw, Source } from './feed.ts'
import { compare, idOf, type Position, positionOf } from './position.ts'
import { topicWords } from './topics.ts'

/*
 * What is published is kept in one bounded stream of the cache store. One for all tenants, because each process reads it
 * on one connection, and an id of one number is all that a client has to remember. Every message names the one before
 * it: whatever the store loses, by trimming, eviction, a restart or an old backup, is seen as a break in this chain.
 */

/** Larger things belong into a store of their own, with their address in the message. */
export const mostDataBytes = 64 * 1024
const mostMessages = 10_000
const mostStreamBytes = 32 * 1024 ** 2
/** Reading the oldest message costs as much as it is large. */
const checkEachBytes = 1024 ** 2
/** Nobody comes back after so long; a stream to which somebody listens is kept. */
const keptSeconds = 24 * 3_600
const perPage = 500
const nothing = Buffer.alloc(0)

/* KEYS[1] the stream; ARGV: tenant ('' none, else '=' and its id), topic, data. Without a topic: only that there is a stream. */
const script = `
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if ARGV[2] == nil and last then
  redis.call('EXPIRE', KEYS[1], ${keptSeconds})
  return last[1]
end
local tenant, topic, data = ARGV[1] or '', ARGV[2] or '', ARGV[3] or ''
local before = last and last[1] or '0-0'
local was = last and tonumber(last[2][4]) or 0
local sum = was + #data + #topic + #tenant + 100
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ${mostMessages}, '*',
  'before', before, 'sum', string.format('%.0f', sum), 'tenant', tenant, 'topic', topic, 'data', data)
if math.floor(was / ${checkEachBytes}) < math.floor(sum / ${checkEachBytes}) then
  local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
  if sum - tonumber(first[2][4]) > ${mostStreamBytes} then
    redis.call('XTRIM', KEYS[1], 'MAXLEN', math.max(1, math.floor(redis.call('XLEN', KEYS[1]) * 0.9)))
  end
end
redis.call('EXPIRE', KEYS[1], ${keptSeconds})
return id
`

type Scripted = Redis & { millraceLive(key: string, ...args: string[]): Promise<string> }

function scripted(redis: Redis): Scripted {
  redis.defineCommand('millraceLive', { numberOfKeys: 1, lua: script })
  return redis as Scripted
}

/** Stores a message and resolves with its id. Throws `invalid-message`, and whatever the store does. */
export type Store = (tenant: string | undefined, topic: string, data: unknown) => Promise<string>

export function createStore(redis: Redis, key: string): Store {
  const store = scripted(redis)
  return async (tenant, topic, data) => {
    topicWords(topic)
    return store.millraceLive(key, tenant === undefined ? '' : `=${tenant}`, topic, jsonOf(topic, data))
  }
}

function jsonOf(topic: string, data: unknown): string {
  const refuse = (why: string) => new MillraceError('invalid-message', `data for '${topic}': ${why}`)
  let json: string | undefined
  try {
    json = JSON.stringify(data === undefined ? null : data)
  } catch (error) {
    throw refuse(error instanceof Error ? error.message : 'cannot be written as JSON')
  }
  if (json === undefined) throw refuse('cannot be written as JSON')
  const size = Buffer.byteLength(json)
  if (size > mostDataBytes) throw refuse(`${size} bytes of JSON; at most ${mostDataBytes}`)
  return json
}

export function messageSource(redis: Redis, key: string): Source {
  const store = scripted(redis)
  const decode = (raw: readonly Raw[], after: Position): Part => {
    let last = after
    let lostUntil: Position | undefined
    let entries: Part['entries'][number][] = []
    for (const [id, fields] of raw) {
      const [, before = '0-0', , , , tenant = '', , topic = '', , data = ''] = fields
      const [at, previous] = [positionOf(id), positionOf(before)]
      if (compare(previous, last) !== 0) {
        // What was before the break would be told out of its place.
        entries = []
        lostUntil = previous
      }
      last = at
      const owner = tenant === '' ? undefined : tenant.slice(1)
      entries.push({
        at,
        tenant: owner,
        // The beginning of a stream is nobody's message, and fits no pattern.
        words: topic === '' ? [] : topic.split('.'),
        body: topic === '' ? nothing : eventBody({ topic, time: at.ms, tenant: owner ?? null, data }),
      })
    }
    return { entries, last, lostUntil }
  }
  return {
    name: 'messages',
    key,
    isChained: true,
    newest: async () => positionOf(await store.millraceLive(key)),
    decode: async (raw, after) => decode(raw, after),
    between: async (after, to) => {
      const raw: Raw[] = []
      for (let from = after; compare(from, to) < 0; ) {
        const page = (await redis.xrange(key, `(${idOf(from)}`, idOf(to), 'COUNT', perPage)) as Raw[]
        raw.push(...page)
        const last = page.at(-1)
        if (!last || page.length < perPage) break
        from = positionOf(last[0])
      }
      const part = decode(raw, after)
      // What the memory begins with has gone from the store: what was before it is of no use.
      return compare(part.last, to) === 0 ? part : { entries: [], last: to, lostUntil: to }
    },
  }
}
