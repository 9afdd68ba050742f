/*
 * What the store decides; `src/policy/limits.ts` says the same in TypeScript. Both scripts answer { remaining, retry, reset }
 * in µs, where a retry of 0 is a yes. A no writes nothing. Redis runs a script as one step, so no key is ever
 * without a time to live, whoever dies when.
 */

/** Of the store, so that clocks of processes need not agree. */
const storeClock = `local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]`

/** Keys outlive what they remember by this much, because Redis expires in ms and by another reading of its clock. ms. */
const slack = 1_000

/**
 * An exact sliding window. KEYS[1]; ARGV: max, window in µs.
 *
 * The key is a string: a head of 20 bytes (place of the next call, calls in the window, places, time of the newest call), then a
 * ring of times of 7 bytes each. The ring has 8 places and doubles when it is full, up to max. A sorted set needs 36 bytes for
 * a call and trims what is past one by one; here a call reads the head and the oldest one or two times, and writes one.
 */
export function slidingScript(clock = storeClock): string {
  return `${clock}
local key, max, window = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local head, used, room, newest = 0, 0, 0, now
local h = redis.call('GETRANGE', key, 0, 19)
if h ~= '' then
  head, used, room, newest = struct.unpack('<I4I4I4d', h)
  if newest - now > window then used = 0 elseif newest > now then now = newest end
end
local past = now - window
local function at(i)
  local from = 20 + 7 * ((head - used + i) % room)
  return (struct.unpack('<I7', redis.call('GETRANGE', key, from, from + 6)))
end
if used > 0 and newest <= past then used = 0 end
local oldest
if used > 0 then
  oldest = at(0)
  if oldest <= past then
    local lo, step = 0, 1
    while lo + step < used and at(lo + step) <= past do lo = lo + step step = step * 2 end
    local hi = math.min(lo + step, used)
    while hi - lo > 1 do
      local mid = math.floor((lo + hi) / 2)
      if at(mid) <= past then lo = mid else hi = mid end
    end
    used = used - hi
  end
end
if used >= max then return { 0, oldest + window - now, newest + window - now } end
local ttl = math.ceil(window / 1000) + ${slack}
if used == room then
  local more = math.min(max, math.max(8, room * 2))
  local ring = room > 0 and redis.call('GETRANGE', key, 20, -1) or ''
  ring = ring:sub(7 * head + 1) .. ring:sub(1, 7 * head) .. string.rep('\\0', 7 * (more - room))
  redis.call('SET', key, struct.pack('<I4I4I4d', 0, 0, 0, 0) .. ring, 'PX', ttl)
  head, room = used, more
end
redis.call('SETRANGE', key, 20 + 7 * head, struct.pack('<I7', now))
redis.call('SETRANGE', key, 0, struct.pack('<I4I4I4d', (head + 1) % room, used + 1, room, now))
redis.call('PEXPIRE', key, ttl)
return { max - used - 1, 0, window }`
}

/** A bucket, as GCRA. KEYS[1]; ARGV: interval and room in µs. The key is the time at which the bucket is full again. */
export function bucketScript(clock = storeClock): string {
  return `${clock}
local key, interval, room = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2])
local before = math.max(tonumber(redis.call('GET', key) or now), now)
if before - now > room then before = now end
local after = before + interval - now
if after > room then return { 0, after - room, before - now } end
redis.call('SET', key, string.format('%.0f', now + after), 'PX', math.ceil(after / 1000) + ${slack})
return { math.floor((room - after) / interval), 0, after }`
}
