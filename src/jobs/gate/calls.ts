import { gateFunctions } from './lua.ts'

/** `finishes`: a job that this script takes from the active list is finished. `removes`: so is one that it takes from anywhere. */
function commands(kind: 'moves' | 'finishes' | 'removes'): string {
  const removal =
    kind === 'removes'
      ? `
  elseif command == 'ZREM' then
    local removed = redisCall(command, key, ...)
    local p = removed > 0 and (gateOf(key, 'prioritized') or gateOf(key, 'delayed'))
    if p then
      local job = redisCall('HMGET', p .. ..., 'gt', 'priority')
      if job[1] then gate.more().ended(p, ..., job[1], job[2]) end
    end
    return removed`
      : ''
  return `
local function rcall(command, key, ...)
  if command == 'LREM' then
    local removed = redisCall(command, key, ...)
    local p = removed > 0 and gateOf(key, 'active')
    if p then gate.left(p, select(2, ...), ${kind !== 'moves'}) end
    return removed${removal}
  elseif command == 'ZPOPMIN' then
    local p = gateOf(key, 'prioritized')
    if p then return gate.pick(p) end
  elseif command == 'RPOPLPUSH' then
    local p = gateOf(key, 'wait')
    if p then
      if redisCall('EXISTS', key) == 1 then gate.more().takeIn(p) end
      return false
    end
  elseif command == 'ZADD' and string.sub(key, -11) == 'prioritized' then
    local p = gateOf(key, 'prioritized')
    if p then
      local score, id = ...
      return gate.more().enter(p, id, tonumber(score))
    end
  elseif command == 'LPUSH' or command == 'RPUSH' then
    local p = string.sub(key, -5) == ':wait' and gateOf(key, 'wait')
    if p then
      -- To the front of its lane when BullMQ would have put it to the front.
      for _, id in ipairs({ ... }) do
        local n = command == 'RPUSH' and redisCall('HGET', p .. id, 'priority')
        gate.more().enter(p, id, n and tonumber(n) > 0 and n * 4294967296 or nil)
      end
      return 1
    end
  elseif command == 'ZRANGE' and string.sub(key, -8) == ':delayed' then
    local first = redisCall(command, key, ...)
    local p = gateOf(key, 'delayed')
    local due = p and gate.nextDue(p)
    if due and not (first[2] and tonumber(first[2]) <= due * 4096) then return { '', due * 4096 } end
    return first
  elseif command == 'DEL' and string.sub(key, -3) == ':pc' and gateOf(key, 'pc') then
    -- With nobody's turn the set need not be empty, and the counter keeps its order.
    return 0
  end
  return redisCall(command, key, ...)
end
`
}

/** Lua that defines `rcall` as BullMQ's scripts use it, with the gate's answers to the commands it cares about. */
export const gatedCall = gateFunctions + commands('moves')
export const gatedCallThatFinishes = gateFunctions + commands('finishes')
export const gatedCallThatRemoves = gateFunctions + commands('removes')
