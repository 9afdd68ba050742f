import { gateFunctions } from './lua.ts'

/** `finishes`: a job that the script takes from the active list is finished. `removes`: so is one that it takes from anywhere. */
export type Kind = 'moves' | 'finishes' | 'removes'

function commands(kind: Kind): string {
  const removal =
    kind === 'removes'
      ? `
function hooks.ZREM(key, ...)
  local removed = redisCall('ZREM', key, ...)
  local p = removed > 0 and (gateOf(key, 'prioritized') or gateOf(key, 'delayed'))
  if p then
    local job = redisCall('HMGET', p .. ..., 'gt', 'priority')
    if job[1] then gate.more().ended(p, ..., job[1], job[2]) end
  end
  return removed
end`
      : ''
  return `
local hooks = {}
function hooks.LREM(key, ...)
  local removed = redisCall('LREM', key, ...)
  local p = removed > 0 and gateOf(key, 'active')
  if p then gate.left(p, select(2, ...), ${kind !== 'moves'}) end
  return removed
end
function hooks.ZPOPMIN(key, ...)
  local p = gateOf(key, 'prioritized')
  if p then return gate.pick(p) end
  return redisCall('ZPOPMIN', key, ...)
end
function hooks.RPOPLPUSH(key, ...)
  local p = gateOf(key, 'wait')
  if not p then return redisCall('RPOPLPUSH', key, ...) end
  if redisCall('EXISTS', key) == 1 then gate.more().takeIn(p) end
  return false
end
function hooks.ZADD(key, score, id, ...)
  local p = gateOf(key, 'prioritized')
  if p then return gate.more().enter(p, id, tonumber(score)) end
  return redisCall('ZADD', key, score, id, ...)
end
local function push(command, key, ...)
  local p = gateOf(key, 'wait')
  if not p then return redisCall(command, key, ...) end
  -- To the front of its lane when BullMQ would have put it to the front.
  for _, id in ipairs({ ... }) do
    local n = command == 'RPUSH' and redisCall('HGET', p .. id, 'priority')
    gate.more().enter(p, id, n and tonumber(n) > 0 and n * 4294967296 or nil)
  end
  return 1
end
function hooks.LPUSH(...) return push('LPUSH', ...) end
function hooks.RPUSH(...) return push('RPUSH', ...) end
function hooks.ZRANGE(key, ...)
  local first = redisCall('ZRANGE', key, ...)
  local p = gateOf(key, 'delayed')
  local due = p and gate.nextDue(p)
  if due and not (first[2] and tonumber(first[2]) <= due * 4096) then return { '', due * 4096 } end
  return first
end
function hooks.DEL(key, ...)
  -- With nobody's turn the set need not be empty, and the counter keeps its order.
  if gateOf(key, 'pc') then return 0 end
  return redisCall('DEL', key, ...)
end${removal}
local function rcall(command, ...)
  local hook = hooks[command]
  if hook then return hook(...) end
  return redisCall(command, ...)
end
`
}

/** Where a script has its queue's prefix, if its first key is not one of those right below that prefix. */
const ofFirstKey = "string.match(KEYS[1], '^.*:')"

/** What {@link commands} has its own answers to. */
const hooked = 'LREM|ZPOPMIN|RPOPLPUSH|ZADD|LPUSH|RPUSH|ZRANGE|DEL|ZREM'

/**
 * Lua that defines `name` in place of `redis.call`, with the gate's answers to the commands it cares about. For a queue without
 * a gate it is Redis' own: nothing comes between, and of all that follows nothing is made. A parent that such a script puts
 * into another queue, which has one, goes to the plain list there and is taken in with the next look at it.
 */
export function gatedCall(kind: Kind, prefix = ofFirstKey, name = 'rcall'): string {
  return `local ${name} = redis.call
local gatePrefix = ${prefix}
local gateSettings = redis.call('HGET', gatePrefix .. 'gate', 'packed')
if gateSettings then
  ${name} = (function()
${gateFunctions}
settings[gatePrefix], ownPrefix = gateSettings, gatePrefix
${commands(kind)}
    return rcall
  end)()
end
`
}

/** A script of BullMQ's with its calls gated: only those that the gate cares about make the detour, or may. */
export function gateScript(content: string, kind: Kind, prefix?: string): string {
  let isFirst = true
  return content
    .replace(new RegExp(`\\brcall\\((?=(["'])(?:${hooked})\\1|[^"'])`, 'g'), 'gated(')
    .replace(plainCall, (line) => {
      if (!isFirst) return ''
      isFirst = false
      return `${line}\n${gatedCall(kind, prefix, 'gated')}`
    })
}

/** How BullMQ's scripts begin, one of them right behind a comment; some say it twice. */
const plainCall = /^(?:\]\] )?local rcall = redis\.call;?$/gm
