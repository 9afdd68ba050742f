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
 * Keys, all below `<prefix>:<queue>:gate`:
 *   gate           hash: settings; there when the queue has a gate
 *   gate:lanes     hash: lane → number          gate:names   hash: number → lane       gate:last  the last number given
 *   gate:ready     set of tenants that may start a job, by virtual time
 *   gate:turns     hash: `V` the virtual time now, `t<tenant>` a tenant's next
 *   gate:of:<t>    set of a tenant's lanes that may start a job, by the age of their first one (only with keys)
 *   gate:running   hash: tenant → jobs in hand
 *   gate:held      hash: lane number → the job that its successors wait for (only with order)
 *   gate:later     set of `t<tenant>` and `l<number> <tenant>` that may start at a time, in ms
 *   gate:starts:…  list of the last starts of a tenant or a key, in ms
 *   gate:hold:<k>  until when a key is held back (RateLimited)
 *   gate:terms     hash: tenant → its weight, concurrency, rate, where the queue file has a function for them
 *   gate:set       the same, set at run time
 */

/** Jobs of a lane are those with scores from number × 2^32. */
export const gateFunctions = `
local redisCall = redis.call
local gate
local function openGate()
  local self, confs, now = {}, {}, nil
  local function time()
    if not now then
      local t = redisCall('TIME')
      now = t[1] * 1000 + math.floor(t[2] / 1000)
    end
    return now
  end

  function self.conf(p)
    if confs[p] == nil then
      local f = redisCall('HMGET', p .. 'gate', 'kind', 'max', 'per', 'weight', 'concurrency', 'rateMax', 'ratePer', 'own')
      confs[p] = f[1] and {
        keyed = f[1] ~= 'tenant', ordered = f[1] == 'order', limited = f[2] and true,
        max = tonumber(f[2] or nil), per = tonumber(f[3] or nil), own = f[8] == '1',
        terms = { tonumber(f[4] or nil), tonumber(f[5] or nil), tonumber(f[6] or nil), tonumber(f[7] or nil) },
        timed = (f[2] or f[6] or f[8] == '1') and true
      } or false
    end
    return confs[p]
  end

  -- Weight, concurrency, and rate of a tenant; nil is none.
  local function termsOf(p, tenant)
    local conf = self.conf(p)
    local text = conf.own and (redisCall('HGET', p .. 'gate:set', tenant) or redisCall('HGET', p .. 'gate:terms', tenant))
    if not text then return unpack(conf.terms, 1, 4) end
    local own = cjson.decode(text)
    local function value(i) return type(own[i]) == 'number' and own[i] or nil end
    return value(1), value(2), value(3), value(4)
  end

  local function firstOf(p, n)
    return redisCall('ZRANGEBYSCORE', p .. 'prioritized', n * 4294967296, '(' .. string.format('%.0f', (n + 1) * 4294967296), 'WITHSCORES', 'LIMIT', 0, 2)
  end

  -- Lets a tenant have turns, unless it is at a bound. \`running\`: how many it has in hand, where that is known.
  local function ready(p, tenant, running)
    local conf = self.conf(p)
    local _, concurrency = termsOf(p, tenant)
    if concurrency and tonumber(running or redisCall('HGET', p .. 'gate:running', tenant) or 0) >= concurrency then return end
    if conf.timed and redisCall('ZSCORE', p .. 'gate:later', 't' .. tenant) then return end
    local turns = redisCall('HMGET', p .. 'gate:turns', 'V', 't' .. tenant)
    local start = math.max(tonumber(turns[1] or 0), tonumber(turns[2] or 0))
    redisCall('ZADD', p .. 'gate:ready', 'NX', string.format('%.17g', start), tenant)
    redisCall('ZADD', p .. 'marker', 0, '0')
  end

  -- Lets a lane have turns among its tenant's.
  local function open(p, tenant, n, id)
    local conf = self.conf(p)
    if conf.keyed then
      local held = conf.ordered and redisCall('HGET', p .. 'gate:held', n)
      if held and held ~= id then return end
      if conf.timed and redisCall('ZSCORE', p .. 'gate:later', 'l' .. n .. ' ' .. tenant) then return end
      local first = firstOf(p, n)
      if #first == 0 then return end
      redisCall('ZADD', p .. 'gate:of:' .. tenant, 'NX', first[2] - n * 4294967296, n)
    end
    ready(p, tenant)
  end
  self.open = open

  local function numberOf(p, lane)
    local n = redisCall('HGET', p .. 'gate:lanes', lane)
    if n then return tonumber(n) end
    local tries = 0
    repeat
      tries = tries + 1
      if tries > 1000 then error('ERR too many keys wait in this queue') end
      n = redisCall('INCR', p .. 'gate:last') % 2097151 + 1
    until redisCall('HSETNX', p .. 'gate:names', n, lane) == 1
    redisCall('HSET', p .. 'gate:lanes', lane, n)
    return n
  end

  local function text(value) return type(value) == 'string' and value or nil end

  -- Lane, tenant and limited key of a job; written to it when it is first seen.
  local function placeOf(p, id)
    local job = redisCall('HMGET', p .. id, 'gl', 'gt', 'gk', 'opts')
    if job[1] then return job[1], job[2], job[3] end
    local parsed, opts = pcall(cjson.decode, job[4] or '')
    local meta = parsed and type(opts) == 'table' and type(opts.meta) == 'table' and opts.meta or {}
    local tenant = text(meta.group) or text(meta.tenant) or ''
    local limit = text(meta.limit) or ''
    local lane = self.conf(p).keyed and tenant .. '\\n' .. (text(meta.key) or limit) or tenant
    return lane, tenant, limit, true
  end

  -- A job begins or goes on to wait. Without a score it goes to the end of its lane.
  function self.enter(p, id, score)
    local lane, tenant, limit, isNew = placeOf(p, id)
    local n = numberOf(p, lane)
    local given = score and math.floor(score / 4294967296)
    if isNew then redisCall('HSET', p .. id, 'gl', lane, 'gt', tenant, 'gk', limit, 'priority', n)
    elseif given ~= n then redisCall('HSET', p .. id, 'priority', n) end
    local place = score and score % 4294967296 or redisCall('INCR', p .. 'pc') % 4294967296
    redisCall('ZADD', p .. 'prioritized', string.format('%.0f', n * 4294967296 + place), id)
    open(p, tenant, n, id)
  end

  -- When a tenant or key may start again; nil for now.
  local function dueAt(p, key, max, per)
    local oldest = max and redisCall('LINDEX', p .. 'gate:starts:' .. key, max - 1)
    local due = oldest and oldest + per
    return due and due > time() and due or nil
  end

  local function started(p, key, max, per)
    if not max then return end
    local starts = p .. 'gate:starts:' .. key
    redisCall('LPUSH', starts, time())
    redisCall('LTRIM', starts, 0, max - 1)
    redisCall('PEXPIRE', starts, per)
  end

  local function nowDue(p)
    local later = p .. 'gate:later'
    for _, member in ipairs(redisCall('ZRANGEBYSCORE', later, '-inf', time(), 'LIMIT', 0, 100)) do
      redisCall('ZREM', later, member)
      local n, tenant = string.match(member, '^l(%d+) (.*)$')
      if n then open(p, tenant, tonumber(n), redisCall('HGET', p .. 'gate:held', n)) else ready(p, string.sub(member, 2)) end
    end
  end

  -- The lane's next job: its id, the score of the one after it, the key it is limited by; nothing when it has to wait.
  local function nextOf(p, conf, tenant, n)
    local first = firstOf(p, n)
    local id, after = first[1], first[4]
    if not id then return end
    local held = conf.ordered and redisCall('HGET', p .. 'gate:held', n)
    if held and held ~= id then
      if not redisCall('ZSCORE', p .. 'prioritized', held) then return end
      id, after = held, first[2]
    end
    local key
    if conf.limited then
      key = redisCall('HGET', p .. id, 'gk') or ''
      local hold = redisCall('PTTL', p .. 'gate:hold:' .. key)
      local due = hold > 0 and time() + hold or dueAt(p, 'k' .. key, conf.max, conf.per)
      if due then
        redisCall('ZADD', p .. 'gate:later', due, 'l' .. n .. ' ' .. tenant)
        return
      end
    end
    return id, after, key
  end

  -- In place of ZPOPMIN on the prioritized set: the next job by turns, in the same form.
  function self.pick(p)
    local conf = self.conf(p)
    if conf.timed then nowDue(p) end
    for _ = 1, 1000 do
      local top = redisCall('ZPOPMIN', p .. 'gate:ready')
      if #top == 0 then return {} end
      local tenant, start = top[1], tonumber(top[2])
      local weight, concurrency, rateMax, ratePer = termsOf(p, tenant)
      local due = dueAt(p, 't' .. tenant, rateMax, ratePer)
      if due then redisCall('ZADD', p .. 'gate:later', due, 't' .. tenant)
      else
        local lanes = p .. 'gate:of:' .. tenant
        local n = conf.keyed and redisCall('ZRANGE', lanes, 0, 0)[1] or not conf.keyed and redisCall('HGET', p .. 'gate:lanes', tenant)
        if n then
          n = tonumber(n)
          local id, after, key = nextOf(p, conf, tenant, n)
          if not id then
            if conf.keyed then
              redisCall('ZREM', lanes, n)
              redisCall('ZADD', p .. 'gate:ready', top[2], tenant)
            end
          else
            redisCall('ZREM', p .. 'prioritized', id)
            redisCall('HSET', p .. 'gate:turns', 'V', top[2], 't' .. tenant, string.format('%.17g', start + 1 / weight))
            started(p, 't' .. tenant, rateMax, ratePer)
            if conf.limited then started(p, 'k' .. key, conf.max, conf.per) end
            local more = after and true
            if conf.keyed then
              if conf.ordered then redisCall('HSET', p .. 'gate:held', n, id) end
              if conf.ordered or not after then redisCall('ZREM', lanes, n)
              else redisCall('ZADD', lanes, after - n * 4294967296, n) end
              more = redisCall('EXISTS', lanes) == 1
            end
            local running = redisCall('HINCRBY', p .. 'gate:running', tenant, 1)
            if more and not (concurrency and running >= concurrency) then
              redisCall('ZADD', p .. 'gate:ready', string.format('%.17g', start + 1 / weight), tenant)
            end
            return { id, '0' }
          end
        end
      end
    end
    -- Many had to be put off: the next one to fetch goes on here.
    redisCall('ZADD', p .. 'marker', 0, '0')
    return {}
  end

  -- A job is not in hand any more. \`ends\`: nor will it be again.
  function self.left(p, id, ends)
    local job = redisCall('HMGET', p .. id, 'gt', 'priority')
    local tenant, n = job[1], job[2]
    if not tenant then return end
    local running = redisCall('HINCRBY', p .. 'gate:running', tenant, -1)
    if running <= 0 then redisCall('HDEL', p .. 'gate:running', tenant) end
    if ends then self.ended(p, id, tenant, n) end
    local _, concurrency = termsOf(p, tenant)
    -- Below its bound before, it has been ready all the time.
    if concurrency and running + 1 >= concurrency then ready(p, tenant, running) end
  end

  -- Its successors need not wait for it any longer.
  function self.ended(p, id, tenant, n)
    if not self.conf(p).ordered or redisCall('HGET', p .. 'gate:held', n) ~= id then return end
    redisCall('HDEL', p .. 'gate:held', n)
    open(p, tenant, tonumber(n))
  end

  function self.nextDue(p)
    return self.conf(p).timed and redisCall('ZRANGE', p .. 'gate:later', 0, 0, 'WITHSCORES')[2] or nil
  end
  self.ready, self.firstOf, self.termsOf = ready, firstOf, termsOf
  return self
end

local function gateOf(key, name)
  if string.sub(key, -#name) ~= name then return end
  local p = string.sub(key, 1, -#name - 1)
  gate = gate or openGate()
  return gate.conf(p) and p
end
`
