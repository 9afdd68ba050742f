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
 * Numbers that never change are written as text: Redis makes each number of a call into text first, which takes it longer than the
 * lookup of a field.
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

/** Jobs of a lane are those with scores from number × 2^32. */
const lanes = `
local function bounds(n)
  return string.format('%.0f', n * 4294967296), string.format('(%.0f', (n + 1) * 4294967296)
end
local function firstOf(p, n)
  local from, to = bounds(n)
  return redisCall('ZRANGEBYSCORE', p .. 'prioritized', from, to, 'WITHSCORES', 'LIMIT', '0', '2')
end
`

/** What every job that is taken or given back needs. Functions are made anew for each call of a script, so these are few. */
const turns = `
local redisCall = redis.call
local packConf, unpackConf = cmsgpack.pack, cmsgpack.unpack
local gate, ownPrefix
-- Those that were read before: prefix of a queue → its packed settings.
local settings = {}
${lanes}
local openMore
local function openGate()
  local self, confs, more = {}, {}, nil

  -- The settings of a queue; false when it has no gate.
  function self.conf(p)
    if confs[p] == nil then
      local packed = settings[p] or redisCall('HGET', p .. 'gate', 'packed')
      confs[p] = packed and unpackConf(packed)
    end
    return confs[p]
  end

  function self.more()
    more = more or openMore(self)
    return more
  end

  -- Weight, concurrency, and rate of a tenant; nil is none.
  local function termsOf(p, tenant)
    local conf = self.conf(p)
    if conf.own then return self.more().ownTerms(p, tenant) end
    return conf.weight, conf.concurrency, conf.rateMax, conf.ratePer
  end
  self.termsOf = termsOf

  -- Lets a tenant have turns, unless it is at a bound. \`running\`: how many it has in hand, where that is known.
  function self.ready(p, tenant, running)
    local conf = self.conf(p)
    local _, concurrency = termsOf(p, tenant)
    if concurrency and tonumber(running or redisCall('HGET', p .. 'gate:running', tenant) or 0) >= concurrency then return end
    if conf.timed and redisCall('ZSCORE', p .. 'gate:later', 't' .. tenant) then return end
    local saved = redisCall('HMGET', p .. 'gate:turns', 't' .. tenant, 'V')
    local now = redisCall('ZRANGE', p .. 'gate:ready', '0', '0', 'WITHSCORES')[2] or saved[2] or 0
    redisCall('ZADD', p .. 'gate:ready', 'NX', math.max(tonumber(now), tonumber(saved[1] or 0)), tenant)
    redisCall('ZADD', p .. 'marker', '0', '0')
  end

  local function leave(p, tenant, start, turn)
    redisCall('ZREM', p .. 'gate:ready', tenant)
    redisCall('HSET', p .. 'gate:turns', 'V', start, 't' .. tenant, turn)
  end

  -- In place of ZPOPMIN on the prioritized set: the next job by turns, in the same form.
  function self.pick(p)
    local conf = self.conf(p)
    if conf.timed then self.more().nowDue(p) end
    for _ = 1, 1000 do
      local top = redisCall('ZRANGE', p .. 'gate:ready', '0', '0', 'WITHSCORES')
      if #top == 0 then return {} end
      local tenant, start = top[1], tonumber(top[2])
      local weight, concurrency, rateMax, ratePer = termsOf(p, tenant)
      local running = conf.bounded and redisCall('HINCRBY', p .. 'gate:running', tenant, '1') or 0
      local id, after
      -- Its turn came before the bound did.
      if concurrency and running > concurrency then id = nil
      elseif conf.keyed or rateMax then id, after = self.more().nextOf(p, conf, tenant, rateMax, ratePer)
      else
        local n = redisCall('HGET', p .. 'gate:lanes', tenant)
        if n then
          local from, to = bounds(n)
          local first = redisCall('ZRANGEBYSCORE', p .. 'prioritized', from, to, 'LIMIT', '0', '2')
          id, after = first[1], first[2]
        end
      end
      if not id then
        if conf.bounded then redisCall('HINCRBY', p .. 'gate:running', tenant, '-1') end
        -- Nothing that may start. After nil there is another lane to ask.
        if id == nil or not after then leave(p, tenant, start, start) end
      else
        redisCall('ZREM', p .. 'prioritized', id)
        if after and not (concurrency and running >= concurrency) then
          redisCall('ZADD', p .. 'gate:ready', start + 1 / weight, tenant)
        else leave(p, tenant, start, start + 1 / weight) end
        return { id, '0' }
      end
    end
    -- Many had to be put off: the next one to fetch goes on here.
    redisCall('ZADD', p .. 'marker', '0', '0')
    return {}
  end

  -- A job is not in hand any more. \`ends\`: nor will it be again.
  function self.left(p, id, ends)
    local conf = self.conf(p)
    if not conf.bounded and not conf.ordered then return end
    local tenant = redisCall('HGET', p .. id, 'gt')
    if not tenant then return end
    local running = conf.bounded and redisCall('HINCRBY', p .. 'gate:running', tenant, '-1')
    if ends and conf.ordered then self.more().ended(p, id, tenant, redisCall('HGET', p .. id, 'priority')) end
    local _, concurrency = termsOf(p, tenant)
    -- Below its bound before, it has been ready all the time.
    if running and concurrency and running + 1 >= concurrency then self.ready(p, tenant, running) end
  end

  -- After a change of the settings.
  function self.pack(p)
    local f = redisCall('HMGET', p .. 'gate', 'kind', 'max', 'per', 'weight', 'concurrency', 'rateMax', 'ratePer', 'own')
    if not f[1] then return false end
    local own, max, concurrency, rateMax = f[8] == '1', tonumber(f[2]), tonumber(f[5]), tonumber(f[6])
    redisCall('HSET', p .. 'gate', 'packed', packConf({
      keyed = f[1] ~= 'tenant', ordered = f[1] == 'order', limited = max and true, max = max, per = tonumber(f[3]), own = own,
      bounded = own or concurrency and true, weight = tonumber(f[4]), concurrency = concurrency, rateMax = rateMax,
      ratePer = tonumber(f[7]), timed = (max or rateMax or own) and true
    }))
    confs[p] = nil
    return true
  end

  function self.nextDue(p)
    return self.conf(p).timed and redisCall('ZRANGE', p .. 'gate:later', '0', '0', 'WITHSCORES')[2] or nil
  end
  return self
end

local function gateOf(key, name)
  -- Nearly always it is this script's own queue, which has one.
  if ownPrefix and key == ownPrefix .. name then
    gate = gate or openGate()
    return ownPrefix
  end
  local p = string.sub(key, 1, -#name - 1)
  if string.sub(p, -1) ~= ':' or string.sub(key, -#name) ~= name then return end
  gate = gate or openGate()
  return gate.conf(p) and p
end
`

/** `gateOf(key, name)` gives the prefix of a queue that has a gate, and then `gate` is there. */
export const gateFunctions = turns + lanesAndTimes
