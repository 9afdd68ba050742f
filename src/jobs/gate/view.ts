import type { Standing } from '../../policy/standing.ts'
import { type BullQueue, stateName } from '../bull.ts'
import { anyGate, gateFunctions, settingNames } from './lua.ts'
import { shortKey } from './place.ts'

/** KEYS[1] the gate's settings, ARGV[1] a job that waits. What {@link Standing} says, as a flat list; nothing without a gate. */
const standingScript = `${gateFunctions}${anyGate}
local p = string.sub(KEYS[1], 1, -5)
local packed = gateAt(p)
local job = redisCall('HMGET', p .. ARGV[1], 'gl', 'gt', 'gk', 'priority')
if not packed or not job[2] then return {} end
local ${settingNames} = cmsgpack.unpack(packed)
local n, tenant = tonumber(job[4]), job[2]
local function dueOf(member) return redisCall('ZSCORE', p .. 'gate:later', member) or '' end
local held = ordered and redisCall('HGET', p .. 'gate:held', n) or ''
local hold = max and redisCall('PTTL', p .. 'gate:hold:' .. (job[3] or '')) or 0
local score = redisCall('ZSCORE', p .. 'prioritized', ARGV[1])
local ahead = score and redisCall('ZCOUNT', p .. 'prioritized', n * 4294967296, '(' .. score) or 0
if own then concurrency = select(2, more(p, packed).termsOf(tenant)) end
return {
  keyed and job[1] or tenant, tenant, keyed and job[3] or '', held, dueOf('l' .. n .. ' ' .. tenant), hold > 0 and tostring(hold) or '', dueOf('t' .. tenant),
  redisCall('HGET', p .. 'gate:running', tenant) or '0', concurrency and tostring(concurrency) or '', tostring(ahead),
  tostring(redisCall('ZRANK', p .. 'gate:ready', tenant) or '')
}`

/** How a waiting job stands; undefined when its queue has no gate. */
export async function standingOf(bull: BullQueue, id: string): Promise<Standing | undefined> {
  const found = (await bull.redis.eval(standingScript, 1, bull.toKey('gate'), id)) as string[]
  if (found.length === 0) return undefined
  const [lane = '', tenant = '', limit = '', held = '', laneDue, hold, tenantDue, running, concurrency, ahead, rank] =
    found
  const order = lane.includes('\n') ? lane.slice(lane.indexOf('\n') + 1) : undefined
  const dueAt = Math.max(number(laneDue) ?? 0, hold ? Date.now() + Number(hold) : 0)
  return {
    tenant,
    key: order ?? (limit || undefined),
    holder: held ? { id: held, state: stateName(await bull.getJobState(held)) } : undefined,
    keyDueAt: dueAt > 0 ? dueAt : undefined,
    tenantDueAt: number(tenantDue),
    running: number(running) ?? 0,
    concurrency: number(concurrency),
    ahead: number(ahead) ?? 0,
    tenantsBefore: number(rank),
  }
}

function number(text: string | undefined): number | undefined {
  return text === undefined || text === '' ? undefined : Number(text)
}

export type BusyKey = {
  readonly tenant: string
  readonly key: string
  /** The job that the others of the key wait for. */
  readonly job: string
  readonly state: string
  readonly waiting: number
}

/** Keys of an ordered queue whose next job waits for one before it, those with most waiting first. */
export async function busyKeys(bull: BullQueue, limit: number): Promise<readonly BusyKey[]> {
  const { redis } = bull
  const held = Object.entries(await redis.hgetall(bull.toKey('gate:held'))).slice(0, mostKeys)
  const keys = await Promise.all(
    held.map(async ([n, job]): Promise<BusyKey | undefined> => {
      const from = Number(n) * laneSize
      const [lane, state, waiting] = await Promise.all([
        redis.hget(bull.toKey('gate:names'), n),
        bull.getJobState(job),
        redis.zcount(bull.toKey('prioritized'), from, `(${from + laneSize}`),
      ])
      if (lane === null) return undefined
      const at = lane.indexOf('\n')
      return { tenant: lane.slice(0, at), key: lane.slice(at + 1), job, state: stateName(state), waiting }
    }),
  )
  return keys
    .filter((key) => key !== undefined)
    .sort((a, b) => b.waiting - a.waiting)
    .slice(0, limit)
}

/** Scores of a lane's jobs begin at its number times this. */
const laneSize = 2 ** 32
/** More would keep the store from its work. */
const mostKeys = 1_000

/** KEYS[1] the gate's settings, ARGV[1] a lane. */
const freeScript = `${gateFunctions}${anyGate}
local p = string.sub(KEYS[1], 1, -5)
local packed = gateAt(p)
local n = packed and redisCall('HGET', p .. 'gate:lanes', ARGV[1])
local id = n and redisCall('HGET', p .. 'gate:held', n)
if not id then return false end
redisCall('HDEL', p .. 'gate:held', n)
more(p, packed).open(redisCall('HGET', p .. id, 'gt') or ARGV[2], tonumber(n))
return id`

/**
 * Lets the jobs of a key go on without the one that they wait for, which comes when its own time comes: out of order. Resolves
 * with that one's id, null when nobody waits.
 */
export async function freeKey(bull: BullQueue, tenant: string, key: string): Promise<string | null> {
  return (await bull.redis.eval(freeScript, 1, bull.toKey('gate'), `${tenant}\n${shortKey(key)}`, tenant)) as
    | string
    | null
}
