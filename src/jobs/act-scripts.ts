import { createRequire } from 'node:module'
import { aliasFunctions } from './alias.ts'
import { gatedCall } from './gate/calls.ts'

// BullMQ ships the text without types and without an exports map.
const { reprocessJob } = createRequire(import.meta.url)('bullmq/dist/cjs/scripts/reprocessJob-9.js') as {
  reprocessJob: { readonly content: string }
}

/*
 * What engineers do to jobs, each as one script: a job is never between two states, however many people act at once and
 * whatever ends half-way. Keys are made of the queue's prefix, as in BullMQ's own scripts.
 */

/**
 * `retry(prefix, state, id, at)`: BullMQ's own way from a set of finished jobs back to those that wait, attempts counted
 * anew. With `at` only when the job finished at that very time: one that ran in between and died again is another matter.
 */
const retryFunction = `${gatedCall('moves', 'ARGV[1]')}
local function reprocess(KEYS, ARGV)
${reprocessJob.content.replace(/^local rcall = redis\.call;?$/gm, '')}
end
local function retry(prefix, state, id, at)
  local finished = redis.call('ZSCORE', prefix .. state, id)
  local job = prefix .. id
  if not finished or (at and tonumber(finished) ~= tonumber(at)) or redis.call('EXISTS', job) == 0 then return 0 end
  -- A cancellation that came too late must not stop the new run.
  redis.call('HDEL', job, 'defa')
  return reprocess(
    { job, prefix .. 'events', prefix .. state, prefix .. 'wait', prefix .. 'meta', prefix .. 'active', prefix .. 'marker',
      prefix .. 'prioritized', prefix .. 'pc' },
    { id, 'LPUSH', state == 'failed' and 'failedReason' or 'returnvalue', state, '1', '1' })
end`

/** KEYS[1] the job. ARGV: prefix, id, state. Returns 1, or 0 when the job was not in that state. */
export const retryScript = `${retryFunction}
return retry(ARGV[1], ARGV[3], ARGV[2])`

/**
 * One step of a redrive. KEYS: its hash, its list of jobs, its lock, the set of those under way. ARGV: prefix of the queue,
 * who holds the lock, for how long, how many jobs at most, how long to remember it, its token, now. Taking a job from the
 * list, moving it and counting it are one: no job is lost or moved twice, whoever dies. Returns state, jobs moved.
 */
export const redriveStep = `${retryFunction}
if redis.call('GET', KEYS[3]) ~= ARGV[2] then return { 'lost', 0 } end
redis.call('PEXPIRE', KEYS[3], ARGV[3])
local state = redis.call('HGET', KEYS[1], 'state')
if state ~= 'running' then
  redis.call('SREM', KEYS[4], ARGV[6])
  return { state or 'gone', 0 }
end
local most = tonumber(ARGV[4])
local entries = most > 0 and redis.call('LPOP', KEYS[2], most) or {}
local done, skipped = 0, 0
for _, entry in ipairs(entries or {}) do
  local at, id = string.match(entry, '^(%S+) (.+)$')
  if retry(ARGV[1], 'failed', id, at) == 1 then done = done + 1 else skipped = skipped + 1 end
end
if done > 0 then redis.call('HINCRBY', KEYS[1], 'done', done) end
if skipped > 0 then redis.call('HINCRBY', KEYS[1], 'skipped', skipped) end
if redis.call('EXISTS', KEYS[2]) == 0 then
  state = 'done'
  redis.call('HSET', KEYS[1], 'state', state, 'finishedAt', ARGV[7])
  redis.call('SREM', KEYS[4], ARGV[6])
end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
return { state, done }`

/** `pending(prefix, id)`: whether the job is the next run of a schedule, without which BullMQ would make no further one. */
const pendingFunction = `
local function pending(prefix, id)
  local schedule = redis.call('HGET', prefix .. id, 'rjk')
  local at = schedule and redis.call('ZSCORE', prefix .. 'repeat', schedule)
  return at and id == 'repeat:' .. schedule .. ':' .. string.format('%.0f', at)
end`

/**
 * `followed(prefix, id)`: whether another one is stored beside the job, to come when it has ended (`keep-last`). BullMQ brings
 * that one at the end of an attempt and nowhere else.
 */
const followedFunction = `
local function followed(prefix, id)
  local dedupe = redis.call('HGET', prefix .. id, 'deid')
  return dedupe and redis.call('GET', prefix .. 'de:' .. dedupe) == id and redis.call('EXISTS', prefix .. 'dn:' .. dedupe) == 1
end`

/** `take(prefix, id)`: takes a job that is not active out of where it is, and says where that was. */
const takeFunction = `${gatedCall('removes', 'ARGV[1]')}
local function take(prefix, id)
  for _, state in ipairs({ 'delayed', 'prioritized', 'failed', 'completed', 'waiting-children' }) do
    if rcall('ZREM', prefix .. state, id) == 1 then return state end
  end
  if redis.call('LREM', prefix .. 'wait', 1, id) == 1 then return 'waiting' end
end
local function tell(prefix, ...)
  local most = redis.call('HGET', prefix .. 'meta', 'opts.maxLenEvents') or 10000
  redis.call('XADD', prefix .. 'events', 'MAXLEN', '~', most, '*', ...)
end`

/**
 * KEYS[1] the job. ARGV: prefix, id, reason, now, channel, message, and what explains it. Returns the state it was in. What waits or is delayed is
 * dead at once. What is active gets BullMQ's mark of a deferred failure, with which the next start would bury it, and the
 * processes that may have it in hand are told.
 */
export const cancelScript = `${pendingFunction}
${followedFunction}
${takeFunction}
local prefix, id = ARGV[1], ARGV[2]
if redis.call('EXISTS', KEYS[1]) == 0 then return 'unknown' end
for _, state in ipairs({ 'failed', 'completed' }) do
  if redis.call('ZSCORE', prefix .. state, id) then return state end
end
-- Its schedule goes on, and its follower comes, from the moment it is started: then it is buried.
local kept = pending(prefix, id) and 'scheduled'
  or redis.call('EXISTS', KEYS[1] .. ':lock') == 0 and followed(prefix, id) and 'followed'
local was = not kept and take(prefix, id)
if not was then
  redis.call('HSET', KEYS[1], 'defa', ARGV[3])
  redis.call('PUBLISH', ARGV[5], ARGV[6])
  return kept or 'active'
end
-- As BullMQ does at the end of a job: a key without a time of its own held for as long as the job had not ended.
local dedupe = redis.call('HGET', KEYS[1], 'deid')
if dedupe then
  local key = prefix .. 'de:' .. dedupe
  if redis.call('PTTL', key) == -1 and redis.call('GET', key) == id then redis.call('DEL', key) end
end
redis.call('ZADD', prefix .. 'failed', ARGV[4], id)
redis.call('HSET', KEYS[1], 'failedReason', ARGV[3], 'finishedOn', ARGV[4], 'why', ARGV[7])
redis.call('HDEL', KEYS[1], 'defa')
tell(prefix, 'event', 'failed', 'jobId', id, 'failedReason', ARGV[3], 'prev', was)
return was`

/** `forget(prefix, id)`: lets go of the deduplication keys that name the job, so that it may come again. */
export const forgetFunction = `${aliasFunctions}
local buckets
local function forget(prefix, id)
  buckets = buckets or aliasBuckets(prefix)
  local job = prefix .. id
  local known = { redis.call('HGET', job, 'deid') or nil }
  local parsed, options = pcall(cjson.decode, redis.call('HGET', job, 'opts') or '')
  local meta = parsed and options.meta
  if meta and meta.alias then
    known[#known + 1] = meta.alias
    forgetAlias(buckets, meta.alias, id)
  end
  for _, dedupe in ipairs(known) do
    local key = prefix .. 'de:' .. dedupe
    -- With the one that was to follow it, as BullMQ does: it would come after some later job, when its time is long over.
    if redis.call('GET', key) == id then redis.call('DEL', key, prefix .. 'dn:' .. dedupe) end
  end
end`

/** KEYS[1] the job. ARGV: prefix, id. Returns the state it was in; `active` and `scheduled` stay. */
export const removeScript = `${pendingFunction}
${takeFunction}
${forgetFunction}
local prefix, id = ARGV[1], ARGV[2]
if redis.call('EXISTS', KEYS[1]) == 0 then return 'unknown' end
if redis.call('EXISTS', KEYS[1] .. ':lock') == 1 or redis.call('LPOS', prefix .. 'active', id) then return 'active' end
if pending(prefix, id) then return 'scheduled' end
local was = take(prefix, id) or 'unknown'
forget(prefix, id)
redis.call('UNLINK', KEYS[1], KEYS[1] .. ':logs')
tell(prefix, 'event', 'removed', 'jobId', id, 'prev', was)
return was`
