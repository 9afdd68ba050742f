import { anyGate, filler, gateFunctions, packFunction } from './lua.ts'

/**
 * KEYS[1] the gate's settings. ARGV[1] where to go on, '0' to begin; [2] how many lanes. Returns where to go on, '0' at the end.
 *
 * Everything here follows from what is in the queue: who has how many jobs in hand from the active list, which keys are busy
 * from the jobs that hold them, which lanes are needed from the jobs in them. So whatever was removed, cleaned or drained
 * behind the gate's back is right again after one round.
 */
export const reconcileScript = `${packFunction}${gateFunctions}${anyGate}
local p = string.sub(KEYS[1], 1, -5)
if ARGV[1] == '0' then packGate(p) end
local packed = gateAt(p)
if not packed then return '0' end
if ARGV[1] == '0' then
  -- Without their names no lane is found below: then all that waits is looked at (adopt.ts).
  if redisCall('EXISTS', p .. 'gate:names') == 0 and redisCall('EXISTS', p .. 'prioritized') == 1 then redisCall('HSET', KEYS[1], 'adopt', 0) end
  local inHand = {}
  for _, id in ipairs(redisCall('LRANGE', p .. 'active', 0, -1)) do
    local tenant = redisCall('HGET', p .. id, 'gt')
    if tenant then inHand[tenant] = (inHand[tenant] or 0) + 1 end
  end
  local known = redisCall('HGETALL', p .. 'gate:running')
  for i = 1, #known, 2 do
    local tenant, count = known[i], inHand[known[i]] or 0
    inHand[tenant] = nil
    if count == 0 and tenant ~= '${filler}' then redisCall('HDEL', p .. 'gate:running', tenant) end
    if count ~= tonumber(known[i + 1]) then
      if count > 0 then redisCall('HSET', p .. 'gate:running', tenant, count) end
      ready(p, packed, tenant)
    end
  end
  for tenant, count in pairs(inHand) do redisCall('HSET', p .. 'gate:running', tenant, count) end
  local held = redisCall('HGETALL', p .. 'gate:held')
  for i = 1, #held, 2 do
    local job = redisCall('HMGET', p .. held[i + 1], 'timestamp', 'finishedOn')
    -- Its lane is opened below.
    if not job[1] or job[2] then redisCall('HDEL', p .. 'gate:held', held[i]) end
  end
end
local found = redisCall('HSCAN', p .. 'gate:names', ARGV[1], 'COUNT', ARGV[2])
for i = 1, #found[2], 2 do
  local n, lane = found[2][i], found[2][i + 1]
  local first, held = firstOf(p, tonumber(n))[1], redisCall('HGET', p .. 'gate:held', n)
  if first and redisCall('HSETNX', p .. 'gate:lanes', lane, n) == 0 and redisCall('HGET', p .. 'gate:lanes', lane) ~= n then
    -- It had lost its number and was given another one since.
    for _, id in ipairs(redisCall('ZRANGEBYSCORE', p .. 'prioritized', n * 4294967296, '(' .. string.format('%.0f', (n + 1) * 4294967296), 'LIMIT', 0, 100)) do
      more(p, packed).adopt(id, '')
    end
  elseif first then
    local tenant = redisCall('HGET', p .. first, 'gt')
    if tenant then more(p, packed).open(tenant, tonumber(n), held)
    else
      -- A job that was removed from under its place, or that another than us put there.
      redisCall('ZREM', p .. 'prioritized', first)
      if redisCall('EXISTS', p .. first) == 1 then more(p, packed).enter(first) end
    end
  elseif not held then
    redisCall('HDEL', p .. 'gate:names', n)
    redisCall('HDEL', p .. 'gate:lanes', lane)
    local tenant = string.match(lane, '^(.-)\\n') or lane
    local turns = redisCall('HMGET', p .. 'gate:turns', 'V', 't' .. tenant)
    -- With many who come once, virtual time stands still, and none of them would ever be forgotten: a turn is forgiven.
    local forgiven = redisCall('EXISTS', p .. 'gate:of:' .. tenant) == 0 and 1 or 0
    if turns[2] and tonumber(turns[2]) <= tonumber(turns[1] or 0) + forgiven then redisCall('HDEL', p .. 'gate:turns', 't' .. tenant) end
  end
end
return found[1]`
