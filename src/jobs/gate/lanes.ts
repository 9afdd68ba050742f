/** What only some queues and some moments need: keys, rates, and jobs that begin or go on to wait. */
export const lanesAndTimes = (settingNames: string): string => `
function openMore(p, packed)
  local ${settingNames} = cmsgpack.unpack(packed)
  local more, now, entered = {}, nil, {}
  local function time()
    if not now then
      local t = redisCall('TIME')
      now = t[1] * 1000 + math.floor(t[2] / 1000)
    end
    return now
  end

  function more.termsOf(tenant)
    local text = redisCall('HGET', p .. 'gate:set', tenant) or redisCall('HGET', p .. 'gate:terms', tenant)
    if not text then return weight, concurrency, rateMax, ratePer end
    local own = cjson.decode(text)
    local function value(i) return type(own[i]) == 'number' and own[i] or nil end
    return value(1), value(2), value(3), value(4)
  end

  -- Lets a lane have turns among its tenant's.
  function more.open(tenant, n, id)
    if keyed then
      local held = ordered and redisCall('HGET', p .. 'gate:held', n)
      if held and held ~= id then return end
      if timed and redisCall('ZSCORE', p .. 'gate:later', 'l' .. n .. ' ' .. tenant) then return end
      local first = firstOf(p, n, 'WITHSCORES')
      if #first == 0 then return end
      redisCall('ZADD', p .. 'gate:of:' .. tenant, 'NX', first[2] - n * 4294967296, n)
    end
    if not redisCall('ZSCORE', p .. 'gate:ready', tenant) then ready(p, packed, tenant) end
  end

  local function numberOf(lane)
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

  -- Lane, tenant and limited key of a job, and whether it is new here.
  local function placeOf(id)
    local job = redisCall('HMGET', p .. id, 'gt', 'gl', 'gk', 'opts')
    if job[1] and not keyed then return job[1], job[1] end
    if job[2] then return job[2], job[1], job[3] end
    local parsed, opts = pcall(cjson.decode, job[4] or '')
    local meta = parsed and type(opts) == 'table' and type(opts.meta) == 'table' and opts.meta or {}
    local tenant = text(meta.group) or text(meta.tenant) or ''
    local limit = text(meta.limit) or ''
    local lane = keyed and tenant .. '\\n' .. (text(meta.key) or limit) or tenant
    return lane, tenant, limit, true
  end

  local function place(id, n, lane, tenant, limit)
    if keyed then redisCall('HSET', p .. id, 'priority', n, 'gt', tenant, 'gl', lane, 'gk', limit)
    else redisCall('HSET', p .. id, 'priority', n, 'gt', tenant) end
  end

  -- A job begins or goes on to wait. Without a score it goes to the end of its lane.
  function more.enter(id, score)
    local lane, tenant, limit, isNew = placeOf(id)
    local n = entered[lane] or numberOf(lane)
    if isNew then place(id, n, lane, tenant, limit)
    elseif not score or math.floor(score / 4294967296) ~= n then redisCall('HSET', p .. id, 'priority', n) end
    local age = score and score % 4294967296 or redisCall('INCR', p .. 'pc') % 4294967296
    redisCall('ZADD', p .. 'prioritized', string.format('%d', n * 4294967296 + age), id)
    -- Of many that come at once, the first of each lane does it.
    if not isNew or not entered[lane] then more.open(tenant, n, id) end
    entered[lane] = n
  end

  -- Jobs in the plain list, which the gate does not look at: put there before there was one. Those that somebody is just
  -- adopting are left to him, who knows their keys.
  function more.takeIn()
    local adopt = redisCall('HGET', p .. 'gate', 'adopt')
    if adopt and tonumber(adopt) > time() then return end
    for _ = 1, 1000 do
      local id = redisCall('RPOP', p .. 'wait')
      if not id then return end
      if redisCall('EXISTS', p .. id) == 1 then more.enter(id) end
    end
  end

  -- Into the lane where a job that waits belongs. \`opts\`: the options that say so, if they are others.
  function more.adopt(id, opts)
    local score = redisCall('ZSCORE', p .. 'prioritized', id)
    if not score and redisCall('LREM', p .. 'wait', '-1', id) == 0 then return end
    if redisCall('EXISTS', p .. id) == 0 then return redisCall('ZREM', p .. 'prioritized', id) end
    redisCall('HDEL', p .. id, 'gt', 'gl', 'gk')
    if opts ~= '' then redisCall('HSET', p .. id, 'opts', opts) end
    local n, lane, tenant, limit = score and math.floor(tonumber(score) / 4294967296), placeOf(id)
    if n and tonumber(redisCall('HGET', p .. 'gate:lanes', lane) or -1) == n then
      redisCall('HSETNX', p .. 'gate:names', n, lane)
      return place(id, n, lane, tenant, limit)
    end
    if n and redisCall('HGET', p .. 'gate:held', n) == id then redisCall('HDEL', p .. 'gate:held', n) end
    if score then redisCall('ZREM', p .. 'prioritized', id) end
    more.enter(id, 0)
  end

  -- When a tenant or key may start again; nil for now.
  local function dueAt(key, max, per)
    local oldest = max and redisCall('LINDEX', p .. 'gate:starts:' .. key, max - 1)
    local due = oldest and oldest + per
    return due and due > time() and due or nil
  end

  local function started(key, max, per)
    local starts = p .. 'gate:starts:' .. key
    redisCall('LPUSH', starts, time())
    redisCall('LTRIM', starts, '0', max - 1)
    redisCall('PEXPIRE', starts, per)
  end

  function more.nowDue()
    local later = p .. 'gate:later'
    for _, member in ipairs(redisCall('ZRANGEBYSCORE', later, '-inf', time(), 'LIMIT', '0', '100')) do
      redisCall('ZREM', later, member)
      local n, tenant = string.match(member, '^l(%d+) (.*)$')
      if n then more.open(tenant, tonumber(n), redisCall('HGET', p .. 'gate:held', n)) else ready(p, packed, string.sub(member, 2)) end
    end
  end

  -- A lane's next job: its id, the score of the one after it, the key it is limited by; nothing when it has to wait.
  local function ofLane(tenant, n)
    local first = firstOf(p, n, 'WITHSCORES')
    local id, after = first[1], first[4]
    if not id then return end
    local held = ordered and redisCall('HGET', p .. 'gate:held', n)
    if held and held ~= id then
      if not redisCall('ZSCORE', p .. 'prioritized', held) then return end
      id, after = held, first[2]
    end
    local key
    if max then
      key = redisCall('HGET', p .. id, 'gk') or ''
      local hold = redisCall('PTTL', p .. 'gate:hold:' .. key)
      local due = hold > 0 and time() + hold or dueAt('k' .. key, max, per)
      if due then
        redisCall('ZADD', p .. 'gate:later', due, 'l' .. n .. ' ' .. tenant)
        return
      end
    end
    return id, after, key
  end

  -- A tenant's next job, and whether there are more; false and true when another lane has to be asked.
  function more.nextOf(tenant, rateMax, ratePer)
    local due = dueAt('t' .. tenant, rateMax, ratePer)
    if due then
      redisCall('ZADD', p .. 'gate:later', due, 't' .. tenant)
      return nil
    end
    local lanes = p .. 'gate:of:' .. tenant
    local n = keyed and redisCall('ZRANGE', lanes, '0', '0')[1] or not keyed and redisCall('HGET', p .. 'gate:lanes', tenant)
    if not n then return nil end
    n = tonumber(n)
    local id, after, key = ofLane(tenant, n)
    if not id then
      if keyed then redisCall('ZREM', lanes, n) end
      return false, keyed and redisCall('EXISTS', lanes) == 1
    end
    if rateMax then started('t' .. tenant, rateMax, ratePer) end
    if max then started('k' .. key, max, per) end
    if not keyed then return id, after end
    if ordered then redisCall('HSET', p .. 'gate:held', n, id) end
    if ordered or not after then redisCall('ZREM', lanes, n)
    else redisCall('ZADD', lanes, after - n * 4294967296, n) end
    return id, redisCall('EXISTS', lanes) == 1
  end

  -- Its successors need not wait for a job any longer.
  function more.ended(id, tenant, n)
    if redisCall('HGET', p .. 'gate:held', n) ~= id then return end
    redisCall('HDEL', p .. 'gate:held', n)
    more.open(tenant, tonumber(n))
  end

  function more.removed(id)
    local job = redisCall('HMGET', p .. id, 'gt', 'priority')
    if job[1] then more.ended(id, job[1], job[2]) end
  end

  -- When the next tenant or key may start again that has to wait for a time.
  function more.nextDue()
    return timed and redisCall('ZRANGE', p .. 'gate:later', '0', '0', 'WITHSCORES')[2]
  end
  return more
end
`
