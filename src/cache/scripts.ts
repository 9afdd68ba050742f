import { scriptCall } from '../redis/script-call.ts'

/*
 * Entries are told apart by the id in them, 8 characters from the third on. GETRANGE of a key that is no text is an error, so
 * that nothing else is ever overwritten.
 */

/**
 * Who may compute. KEYS: value, lock, epoch, versions of tags. ARGV: id of the entry that was seen or '', token, lock's ms,
 * version for those that have none, lifetime of versions in ms.
 * Returns {2} when there is another one by now, {0} while somebody computes, else {1, epoch, version, …}: the lock is ours.
 */
export const acquire = scriptCall(`
local id = redis.call('GETRANGE', KEYS[1], 2, 9)
if id ~= '' and id ~= ARGV[1] then return {2} end
if not redis.call('SET', KEYS[2], ARGV[2], 'NX', 'PX', ARGV[3]) then return {0} end
local out = {1}
for i = 3, #KEYS do
  local version = redis.call('GET', KEYS[i])
  if not version then
    version = ARGV[4]
    redis.call('SET', KEYS[i], version, 'PX', ARGV[5])
  elseif redis.call('PTTL', KEYS[i]) < tonumber(ARGV[5]) then
    redis.call('PEXPIRE', KEYS[i], ARGV[5])
  end
  out[#out + 1] = version
end
return out`)

/** For each tag of KEYS[n..] what was stored under it, by when it will be gone. */
const index = `
local function index(from, px, now)
  for i = from, #KEYS do
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', now)
    redis.call('ZADD', KEYS[i], tonumber(now) + tonumber(px), KEYS[1])
    if redis.call('PTTL', KEYS[i]) < tonumber(px) then redis.call('PEXPIRE', KEYS[i], px) end
  end
end`

/**
 * Stores what was computed, if the lock is still ours and nothing was invalidated since. KEYS: value, lock, epoch, versions of
 * tags, what is under each tag. ARGV: token, entry, px, now, number of tags, epoch, version, …
 * Returns 1 when it was stored.
 */
export const store = scriptCall(`${index}
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[2])
local tags = tonumber(ARGV[5])
for i = 0, tags do
  if redis.call('GET', KEYS[3 + i]) ~= ARGV[6 + i] then return 0 end
end
redis.call('GETRANGE', KEYS[1], 0, 0)
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
index(4 + tags, ARGV[3], ARGV[4])
return 1`)

/**
 * Stores what somebody says it is: whoever is computing it has been overtaken. KEYS: value, lock, what is under each tag.
 * ARGV: entry, px, now, channel, message.
 */
export const put = scriptCall(`${index}
redis.call('GETRANGE', KEYS[1], 0, 0)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('DEL', KEYS[2])
index(3, ARGV[2], ARGV[3])
redis.call('PUBLISH', ARGV[4], ARGV[5])
return 1`)

/** Versions of tags, made where there are none. KEYS: the versions. ARGV: version for those, lifetime in ms. Returns them. */
export const versions = scriptCall(`
local out = {}
for i = 1, #KEYS do
  redis.call('SET', KEYS[i], ARGV[1], 'NX', 'PX', ARGV[2])
  if redis.call('PTTL', KEYS[i]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[i], ARGV[2]) end
  out[i] = redis.call('GET', KEYS[i])
end
return out`)

/** Keeps a lock that is ours. KEYS[1] the lock. ARGV: token, ms. Returns 1 when it still is. */
export const renew = scriptCall(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])`)
