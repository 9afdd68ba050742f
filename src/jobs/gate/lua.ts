import { lanesAndTimes } from './lanes.ts'

/*
 * The gate: turns between tenants, order by key, and limits, kept inside BullMQ's own scripts.
 *
 * A queue with a gate keeps its waiting jobs in BullMQ's set of prioritized ones, where the priority is the number of a
 * *lane*: the jobs of one tenant, or of one key of a tenant, first in first out. All of BullMQ's ways of putting a job back
 * keep its priority and so its lane, and whatever shows BullMQ's queues shows these. What BullMQ would do with that set is
 * replaced at the level of single Redis commands: popping the lowest becomes "whose turn is it", adding to it opens the
 * lane, and removing a job from the active list gives its slot back. So a slot is taken and given back in the very script
 * that moves the job, whatever happens to the process, and a tenant at its bound or a key that is busy is not among
 * those that are asked: a turn costs the same with one job waiting as with a million.
 *
 * Turns are start-time fair queueing (Goyal, Vin, Cheng 1996): each start advances its tenant's virtual time by 1/weight; the
 * tenant with the smallest is next; who comes back after a pause goes on from now and has saved nothing up.
 *
 * All of it runs in Redis, once and more for each job, so it is written to be cheap there (measured with redis-server 7.0):
 * - A script makes its functions anew with each call, and each costs as much as half a Redis command, and more with each value that
 *   it takes from around it. So few are made for every job, and settings are unpacked by those that need them.
 * - Numbers that never change are written as text: Redis makes each number of a call into text first, which takes it longer than the
 *   lookup of a field.
 * - Small hashes and sorted sets are lists to Redis, which it walks through: with 100 tenants, 1 to 9 µs for each command. An
 *   entry that is too long for a list keeps them from that.
 *
 * Keys, all below `<prefix>:<queue>:gate`:
 *   gate           hash: settings, and `packed`: the same in the form that is read with each job; there when the queue has a
 *                  gate. `adopt`: jobs wait where they do not belong (adopt.ts)
 *   gate:lanes     hash: lane → number          gate:names   hash: number → lane       gate:last  the last number given
 *   gate:ready     set of tenants that may start a job, by virtual time
 *   gate:turns     hash: `t<tenant>` the virtual time of a tenant that may start none; `V` that of the last who left
 *   gate:of:<t>    set of a tenant's lanes that may start a job, by the age of their first one (only with keys)
 *   gate:running   hash: tenant → jobs in hand (only with a bound)
 *   gate:held      hash: lane number → the job that its successors wait for (only with order)
 *   gate:later     set of `t<tenant>` and `l<number> <tenant>` that may start at a time, in ms
 *   gate:starts:…  list of the last starts of a tenant or a key, in ms
 *   gate:hold:<k>  until when a key is held back (RateLimited)
 *   gate:terms     hash: tenant → its weight, concurrency, rate, where the queue file has a function for them
 *   gate:set       the same, set at run time
 */

/** What a script knows of a queue's settings, in the order in which they are packed. With `max`, jobs are limited by key. */
export const settingNames = 'own, bounded, timed, keyed, ordered, weight, concurrency, rateMax, ratePer, max, per'

/** Redis keeps nothing with an entry of more than 64 bytes as a list, unless it is configured to. In `gate:ready` it stands behind all tenants. */
export const filler = 'no tenant: an entry of more than 64 bytes, with which Redis makes no list of these'

/** The ids of a lane's first two jobs, which are those with scores from its number × 2^32. */
const lanes = `
local redisCall = redis.call
local function firstOf(p, n, ...)
  local from, to = string.format('%d', n * 4294967296), string.format('(%d', (n + 1) * 4294967296)
  return redisCall('ZRANGEBYSCORE', p .. 'prioritized', from, to, 'LIMIT', '0', '2', ...)
end
`

/** What every job that is taken or given back needs. */
const turns = `
local openMore
local opened
local function more(p, packed)
  opened = opened or {}
  opened[p] = opened[p] or openMore(p, packed)
  return opened[p]
end

-- Lets a tenant have turns, unless it is at a bound. \`running\`: how many it has in hand, where that is known.
local function ready(p, packed, tenant, running)
  local own, _, timed, _, _, _, most = cmsgpack.unpack(packed)
  if own then most = select(2, more(p, packed).termsOf(tenant)) end
  if most and tonumber(running or redisCall('HGET', p .. 'gate:running', tenant) or 0) >= most then return end
  if timed and redisCall('ZSCORE', p .. 'gate:later', 't' .. tenant) then return end
  local saved = redisCall('HMGET', p .. 'gate:turns', 't' .. tenant, 'V')
  local now = redisCall('ZRANGE', p .. 'gate:ready', '0', '0', 'WITHSCORES')[2]
  if not now or now == 'inf' then now = saved[2] or 0 end
  redisCall('ZADD', p .. 'gate:ready', 'NX', math.max(tonumber(now), tonumber(saved[1] or 0)), tenant)
  redisCall('ZADD', p .. 'marker', '0', '0')
end

-- In place of RPOPLPUSH from the plain list to the active one: the next job by turns.
local function pick(p, packed)
  local own, bounded, timed, keyed, _, weight, concurrency, rateMax, ratePer = cmsgpack.unpack(packed)
  if redisCall('EXISTS', p .. 'wait') == 1 then more(p, packed).takeIn() end
  if timed then more(p, packed).nowDue() end
  for _ = 1, 1000 do
    local top = redisCall('ZRANGE', p .. 'gate:ready', '0', '0', 'WITHSCORES')
    local tenant, start = top[1], top[2]
    if not tenant or start == 'inf' then return false end
    if own then weight, concurrency, rateMax, ratePer = more(p, packed).termsOf(tenant) end
    local running = bounded and redisCall('HINCRBY', p .. 'gate:running', tenant, '1')
    local id, after
    -- Its turn came before the bound did.
    if concurrency and running > concurrency then id = nil
    elseif keyed or rateMax then id, after = more(p, packed).nextOf(tenant, rateMax, ratePer)
    else
      local n = redisCall('HGET', p .. 'gate:lanes', tenant)
      local first = n and firstOf(p, n) or {}
      id, after = first[1], first[2]
    end
    if id then redisCall('ZREM', p .. 'prioritized', id)
    elseif bounded then redisCall('HINCRBY', p .. 'gate:running', tenant, '-1') end
    local turn = id and start + 1 / weight or start
    if id and after and not (concurrency and running >= concurrency) then
      redisCall('ZADD', p .. 'gate:ready', turn, tenant)
    -- Nothing more that may start; or false and true, and there is another lane to ask.
    elseif id or id == nil or not after then
      redisCall('ZREM', p .. 'gate:ready', tenant)
      redisCall('HSET', p .. 'gate:turns', 'V', start, 't' .. tenant, turn)
    end
    if id then
      redisCall('LPUSH', p .. 'active', id)
      return id
    end
  end
  -- Many had to be put off: the next one to fetch goes on here.
  redisCall('ZADD', p .. 'marker', '0', '0')
  return false
end

-- A job is not in hand any more. \`ends\`: nor will it be again.
local function left(p, packed, id, ends)
  local own, bounded, _, _, ordered, _, most = cmsgpack.unpack(packed)
  if not bounded and not ordered then return end
  local tenant = redisCall('HGET', p .. id, 'gt')
  if not tenant then return end
  local running = bounded and redisCall('HINCRBY', p .. 'gate:running', tenant, '-1')
  if ends and ordered then more(p, packed).ended(id, tenant, redisCall('HGET', p .. id, 'priority')) end
  if own then most = select(2, more(p, packed).termsOf(tenant)) end
  -- Below its bound before, it has been ready all the time.
  if running and most and running + 1 >= most then ready(p, packed, tenant, running) end
end
`

/** A gate is its queue's prefix and its packed settings; the functions are `ready`, `pick`, `left`, and those of `more`. */
export const gateFunctions = lanes + turns + lanesAndTimes(settingNames)

/** `gateAt(prefix)` gives the packed settings of any queue, false when it has no gate. */
export const anyGate = `
local packedAt = {}
local function gateAt(p)
  if packedAt[p] == nil then packedAt[p] = redisCall('HGET', p .. 'gate', 'packed') end
  return packedAt[p]
end
`

/** `packGate(prefix)`: after a change of the settings. */
export const packFunction = `
local function packGate(p)
  local f = redis.call('HMGET', p .. 'gate', 'kind', 'max', 'per', 'weight', 'concurrency', 'rateMax', 'ratePer', 'own')
  if not f[1] then return end
  local own, max, concurrency, rateMax = f[8] == '1', tonumber(f[2]), tonumber(f[5]), tonumber(f[6])
  local keyed, ordered, weight, ratePer, per = f[1] ~= 'tenant', f[1] == 'order', tonumber(f[4]), tonumber(f[7]), tonumber(f[3])
  local bounded, timed = own or concurrency ~= nil, own or max ~= nil or rateMax ~= nil
  redis.call('HSET', p .. 'gate', 'packed', cmsgpack.pack(${settingNames}))
  for _, name in ipairs({ 'lanes', 'turns', 'running' }) do redis.call('HSET', p .. 'gate:' .. name, '${filler}', 0) end
  redis.call('ZADD', p .. 'gate:ready', 'inf', '${filler}')
end
`
