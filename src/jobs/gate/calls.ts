import { anyGate, gateFunctions } from './lua.ts'

/** `finishes`: a job that the script takes from the active list is finished. `removes`: so is one that it takes from anywhere. */
export type Kind = 'moves' | 'finishes' | 'removes'

/**
 * The queue's own jobs that are fetched and finished come first, without more: it is them that a queue has most of. All other
 * answers are made for the first command that may need one.
 */
function commands(kind: Kind): string {
  const removal =
    kind === 'removes'
      ? `
  function hooks.ZREM(key, ...)
    local removed = redisCall('ZREM', key, ...)
    local packed, p = gateOf(key, 'prioritized')
    if not packed then packed, p = gateOf(key, 'delayed') end
    if packed and removed > 0 then more(p, packed).removed(...) end
    return removed
  end`
      : ''
  return `
local function openHooks()
${anyGate}
  packedAt[gatePrefix] = gatePacked
  local function gateOf(key, name)
    local p = string.sub(key, 1, -#name - 1)
    if string.sub(p, -1) == ':' and p .. name == key then return gateAt(p) or nil, p end
  end
  local hooks = {}
  function hooks.LREM(key, ...)
    local removed = redisCall('LREM', key, ...)
    local packed, p = gateOf(key, 'active')
    if packed and removed > 0 then left(p, packed, select(2, ...), ${kind !== 'moves'}) end
    return removed
  end
  function hooks.ZPOPMIN(key, ...)
    -- Comes after an RPOPLPUSH, which has found no job among them either.
    if gateOf(key, 'prioritized') then return {} end
    return redisCall('ZPOPMIN', key, ...)
  end
  function hooks.ZADD(key, score, id, ...)
    local packed, p = gateOf(key, 'prioritized')
    if packed then return more(p, packed).enter(id, tonumber(score)) end
    return redisCall('ZADD', key, score, id, ...)
  end
  local function push(command, key, ...)
    local packed, p = gateOf(key, 'wait')
    if not packed then return redisCall(command, key, ...) end
    -- To the front of its lane when BullMQ would have put it to the front.
    for _, id in ipairs({ ... }) do
      local n = command == 'RPUSH' and redisCall('HGET', p .. id, 'priority')
      more(p, packed).enter(id, n and tonumber(n) > 0 and n * 4294967296 or nil)
    end
    return 1
  end
  function hooks.LPUSH(...) return push('LPUSH', ...) end
  function hooks.RPUSH(...) return push('RPUSH', ...) end
  function hooks.ZRANGE(key, ...)
    local first = redisCall('ZRANGE', key, ...)
    local packed, p = gateOf(key, 'delayed')
    local due = packed and more(p, packed).nextDue()
    if due and not (first[2] and tonumber(first[2]) <= due * 4096) then return { '', due * 4096 } end
    return first
  end
  function hooks.DEL(key, ...)
    -- With nobody's turn the set need not be empty, and the counter keeps its order.
    if gateOf(key, 'pc') then return 0 end
    return redisCall('DEL', key, ...)
  end${removal}
  return hooks
end
local hooks
local wait, active = gatePrefix .. 'wait', gatePrefix .. 'active'
local function answer(command, key, ...)
  if key == wait and command == 'RPOPLPUSH' then return pick(gatePrefix, gatePacked) end
  if key == active and command == 'LREM' then
    local removed = redisCall('LREM', key, ...)
    if removed > 0 then left(gatePrefix, gatePacked, select(2, ...), ${kind !== 'moves'}) end
    return removed
  end
  hooks = hooks or openHooks()
  if hooks[command] then return hooks[command](key, ...) end
  return redisCall(command, key, ...)
end
`
}

/** Where a script has its queue's prefix, if its first key is not one of those right below that prefix. */
const ofFirstKey = "string.match(KEYS[1], '^.*:')"

/** What {@link commands} has its own answers to. */
const hooked = 'LREM|ZPOPMIN|RPOPLPUSH|ZADD|LPUSH|RPUSH|ZRANGE|DEL|ZREM'
/** What BullMQ calls keys that are none of a gate's; the last is the set of finished jobs. */
const others = 'markerKey|lockKey|jobKey|targetSet'

/**
 * Lua that defines `name` in place of `redis.call`, with the gate's answers to the commands it cares about. For a queue without
 * a gate it is Redis' own: nothing comes between, and of all that follows nothing is made. A parent that such a script puts
 * into another queue, which has one, goes to the plain list there and is taken in with the next look at it.
 */
export function gatedCall(kind: Kind, prefix = ofFirstKey, name = 'rcall'): string {
  return `local ${name} = redis.call
local gatePrefix = ${prefix}
local gatePacked = redis.call('HGET', gatePrefix .. 'gate', 'packed')
if gatePacked then
${gateFunctions}
${commands(kind)}
${name} = answer
end
`
}

/** A script of BullMQ's with its calls gated: only those that the gate cares about make the detour, or may. */
export function gateScript(content: string, kind: Kind, prefix?: string): string {
  const mayMatter = `\\brcall\\((?=(["'])(?:${hooked})\\1|[^"'])(?!["'][A-Z]+["'], *(?:${others})\\b)`
  let isFirst = true
  return content.replace(new RegExp(mayMatter, 'g'), 'gated(').replace(plainCall, (line) => {
    if (!isFirst) return ''
    isFirst = false
    return `${line}\n${gatedCall(kind, prefix, 'gated')}`
  })
}

/** How BullMQ's scripts begin, one of them right behind a comment; some say it twice. */
const plainCall = /^(?:\]\] )?local rcall = redis\.call;?$/gm
