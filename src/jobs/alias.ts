const hourMs = 3_600_000

/** A second deduplication id is remembered for so long at least. The longest window of a provider with such ids is 25 h. */
export const aliasMs = 26 * hourMs
/** More would make looking one up dearer, fewer keep more of them beyond their time: here a half of it. */
const buckets = 2
const bucketSeconds = aliasMs / buckets / 1_000
/** Time for the janitor to remove a bucket before it expires: it can do so without keeping everybody else waiting. */
const graceSeconds = 3_600

/*
 * Aliases, the second ids of events, are kept in a hash for each half of the time for which they hold: a key of its own for
 * each, with its own time of expiry, costs redis-server a call and a command in its log for each event.
 */

/** Lua for the scripts that know of aliases; `prefix` is the queue's. Buckets come as keys, the current one first. */
export const aliasFunctions = `local function aliasBuckets(prefix)
  local bucket = math.floor(tonumber(redis.call('TIME')[1]) / ${bucketSeconds})
  local keys = { untilSecond = (bucket + ${buckets + 1}) * ${bucketSeconds} + ${graceSeconds} }
  for age = 0, ${buckets} do keys[age + 1] = prefix .. 'alias:' .. (bucket - age) end
  keys.old = prefix .. 'alias:' .. (bucket - ${buckets + 1})
  return keys
end
local function aliasesIn(keys, aliases)
  local known = {}
  for _, key in ipairs(keys) do
    for i, id in ipairs(redis.call('HMGET', key, unpack(aliases))) do
      if id then known[aliases[i]] = id end
    end
  end
  return known
end
local function rememberAliases(keys, fields)
  redis.call('HSET', keys[1], unpack(fields))
  redis.call('EXPIREAT', keys[1], keys.untilSecond)
end
local function forgetAlias(keys, alias, id)
  for _, key in ipairs(keys) do
    if redis.call('HGET', key, alias) == id then redis.call('HDEL', key, alias) end
  end
end`
