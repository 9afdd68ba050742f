/*
 * What the store decides; `src/policy/limits.ts` says the same in TypeScript, and a test holds the two together. Redis runs a
 * script as one step and the command that makes a key gives it its time to live, so none is ever without, whoever dies when.
 */

/** The store's, so that clocks of processes need not agree. */
const storeClock = `local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]`

/** Keys outlive what they remember by this much: Redis expires in ms, and by a reading of its clock of its own. µs. */
const slack = 1_000_000

/**
 * Counts calls against many limits at once: what one process asks in one turn is one step of the store. ARGV[1] has
 * for each key, with commas between, `s <max> <window> <calls>` or `b <interval> <depth> <calls>`; times in µs. Answers for each
 * key room before, retry and reset. Where there is no room, nothing is written.
 *
 * A sliding window is a string: a head of 33 bytes (place of the next call, calls in the window, places, times of the newest and
 * the oldest call and of the expiry), then a ring of times of 7 bytes, which starts with 8 places and doubles when it is full.
 * So a call reads the head, the times that have just left the window, and writes two pieces, however high the limit is. The
 * usual sorted set needs 36 bytes for a call. A bucket is the time at which it is full again.
 */
export function limitScript(clock = storeClock): string {
  return `${clock}
local call, read, pack, floor, min, max = redis.call, struct.unpack, struct.pack, math.floor, math.min, math.max
local layout, start, slack = '<I4I4I4I7I7I7', 33, ${slack}
local function place(key, i)
  local from = start + 7 * i
  return (read('<I7', call('GETRANGE', key, from, from + 6)))
end

local function sliding(key, limit, window, calls)
  local past, at = now - window, now
  local head, used, places, newest, oldest, till = 0, 0, 0, now, now, 0
  local found = call('GETRANGE', key, 0, start - 1)
  if found ~= '' then
    head, used, places, newest, oldest, till = read(layout, found)
    if newest <= past or newest - now > window then used = 0 else at = max(now, newest) end
    if used > 0 and oldest <= past then
      local first, lo, step = head - used, 0, 1
      while lo + step < used do
        oldest = place(key, (first + lo + step) % places)
        if oldest > past then break end
        lo, step = lo + step, step * 2
      end
      local hi = min(lo + step, used)
      if hi - lo > 1 then
        while hi - lo > 1 do
          local middle = floor((lo + hi) / 2)
          if place(key, (first + middle) % places) <= past then lo = middle else hi = middle end
        end
        oldest = place(key, (first + hi) % places)
      end
      used = used - hi
    end
  end
  local room = limit - used
  local new = min(room, calls)
  if new > 0 then
    local life = 2 * window + 2 * slack
    if used + new > places then
      local more = min(limit, max(8, places * 2, used + new))
      local ring, first = '', (head - used) % max(places, 1)
      if used > 0 then
        ring = call('GETRANGE', key, start, -1)
        ring = (ring .. ring):sub(7 * first + 1, 7 * (first + used))
      end
      till = at + life
      call('SET', key, string.rep('\\0', start) .. ring .. string.rep('\\0', 7 * (more - used)), 'PX', floor(life / 1000))
      head, places = used, more
    end
    local time, fit = pack('<I7', at), min(new, places - head)
    call('SETRANGE', key, start + 7 * head, time:rep(fit))
    if fit < new then call('SETRANGE', key, start, time:rep(new - fit)) end
    if used == 0 then oldest = at end
    head, used, newest = (head + new) % places, used + new, at
    local isShort = till - at < window + slack
    if isShort then till = at + life end
    call('SETRANGE', key, 0, pack(layout, head, used, places, newest, oldest, till))
    if isShort then call('PEXPIRE', key, floor((till - now) / 1000)) end
  end
  return room, oldest + window - now, newest + window - now
end

local function bucket(key, interval, depth, calls)
  local before = max((tonumber(call('GET', key) or 0)) - now, 0)
  if before > depth then before = 0 end
  local room = floor((depth - before) / interval)
  local after = before + min(calls, room) * interval
  if room > 0 then
    call('SET', key, string.format('%.0f', now + after), 'PX', floor((after + slack) / 1000))
  end
  return room, after + interval - depth, after
end

local answer, i = {}, 0
for kind, a, b, calls in ARGV[1]:gmatch('(%a) (%d+) (%d+) (%d+)') do
  i = i + 1
  local count = kind == 's' and sliding or bucket
  answer[3 * i - 2], answer[3 * i - 1], answer[3 * i] = count(KEYS[i], tonumber(a), tonumber(b), tonumber(calls))
end
return answer`
}
