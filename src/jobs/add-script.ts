import { createRequire } from 'node:module'
import { aliasFunctions } from './alias.ts'
import type { JobMeta } from './bull.ts'
import { gatedCall } from './gate/calls.ts'
import { member, quote } from './json.ts'

// BullMQ ships the text without types and without an exports map.
const { addStandardJob } = createRequire(import.meta.url)('bullmq/dist/cjs/scripts/addStandardJob-9.js') as {
  addStandardJob: { readonly content: string }
}

/*
 * BullMQ's own add script, run for many jobs in one call.
 *
 * A pipeline of single adds is split by redis-server into pieces of 16 KB (its read buffer), and with
 * `appendfsync always` each piece costs an fsync. One call is one command: one fsync for the whole batch, and one
 * command to encode and one reply to read here. The Lua text is BullMQ's, as the body of a function whose parameters take
 * the place of KEYS and ARGV, with its own functions moved in front of it: making two dozen of them anew for each job
 * costs a sixth of the call (measured: 34 against 29 µs for a job). A test compares what it stores with what Queue.add
 * stores.
 */

const { functions, body } = splitLua(addStandardJob.content)

/** So many events are one entry of the inbox at most: the less entries differ in size, the easier they are to bound. */
const eventsPerEntry = 16

/**
 * KEYS: as in BullMQ's addStandardJob. ARGV: see {@link callArguments}. Returns a list of ids.
 *
 * What BullMQ's text packs and unpacks comes ready made: for it `cmsgpack.unpack` gives a table that is one already, and
 * `cjson.encode` the options' text. And what it asks or writes with the same answer for each job of a call is done once:
 * the queue's settings, the marker that wakes workers, the counter, whether any of the jobs is there already, the list that
 * they join, what they are remembered by. When one fails, those before it are complete all the same.
 */
export const addScript = `${gatedCall('moves')}
${aliasFunctions}
local call, redisCall = rcall, redis.pcall
local wait, meta, counter, marker = KEYS[1], KEYS[3], KEYS[4], KEYS[9]
local counted, isMarked, maxEvents, settings, json = 0, false, nil, nil, nil
local absent, waiting = {}, {}
local function rcall(command, key, ...)
  if absent[key] and command == 'EXISTS' then
    return 0
  elseif key == wait and command == 'LPUSH' then
    waiting[#waiting + 1] = ...
    return
  elseif key == meta and command == 'HGET' then
    maxEvents = maxEvents or call(command, key, ...)
    return maxEvents
  elseif key == meta and command == 'HMGET' then
    settings = settings or call(command, key, ...)
    return settings
  elseif key == counter then
    counted = counted + 1
    return counted
  elseif key == marker then
    if isMarked then return 0 end
    isMarked = true
  end
  return call(command, key, ...)
end
local redis = { call = rcall, pcall = redis.pcall }
local cmsgpack = { unpack = function(value) return value end }
local cjson = { encode = function() return json end }
${functions}
local function add(ARGV)
${body}
end
local prefix, inbox, width = ARGV[1], ARGV[2], tonumber(ARGV[3])
local ttl, aliasMs, own, raw = tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7]
local jobs, aliases = {}, {}
for i = 8, #ARGV, width do
  jobs[#jobs + 1] = prefix .. ARGV[i]
  -- One that holds for a time of its own is asked for below, and here for nothing.
  if ARGV[i + 6] ~= '' then aliases[#aliases + 1] = ARGV[i + 6] end
end
if #jobs > 0 and call('EXISTS', unpack(jobs)) == 0 then
  for _, job in ipairs(jobs) do absent[job] = true end
end
local buckets, known = aliasBuckets(prefix), {}
if #aliases > 0 then known = aliasesIn(buckets, aliases) end
local ids, entries, entered, fresh = {}, {}, 0, {}
local failure
local function enter()
  -- What is only for finding it again must not keep anybody's job from being stored.
  if entered > 0 then redisCall('XADD', inbox, '*', unpack(entries)) end
  entries, entered = {}, 0
end
for i = 8, #ARGV, width do
  local id, data, dedupe, alias, entry = ARGV[i], ARGV[i + 3], ARGV[i + 5], ARGV[i + 6], ARGV[i + 7]
  if width > 8 then ttl, aliasMs, own, raw = tonumber(ARGV[i + 8]), ARGV[i + 9], ARGV[i + 10], ARGV[i + 11] end
  local key = aliasMs ~= '' and alias ~= '' and prefix .. 'de:' .. alias
  -- Not asked first: nearly always it is new, and then one call does.
  if key and not call('SET', key, id, 'PX', aliasMs, 'NX') then
    ids[#ids + 1] = call('GET', key)
  elseif not key and known[alias] then
    ids[#ids + 1] = known[alias]
  else
    local args, opts = { prefix, id, ARGV[i + 1], ARGV[i + 2] }, {}
    json = ARGV[i + 4]
    if dedupe ~= '' then
      opts.de = { id = dedupe, ttl = ttl }
      args[9] = prefix .. 'de:' .. dedupe
    end
    local ok, stored = pcall(add, { args, data, opts })
    -- An id that names no job would swallow every repetition.
    if key and not (ok and stored == id) then call('DEL', key) end
    if not ok then
      failure = stored
      break
    end
    if stored == id then
      absent[prefix .. id] = nil
      if alias ~= '' and not key then
        known[alias] = id
        fresh[#fresh + 1] = alias
        fresh[#fresh + 1] = id
      end
      if entry ~= '' then
        local n = #entries
        entries[n + 1], entries[n + 2] = 'meta', entry
        if own ~= '-' then entries[n + 3], entries[n + 4] = 'data', own == '' and data or own end
        if raw ~= '' then
          entries[#entries + 1] = 'raw'
          entries[#entries + 1] = raw
        end
        entered = entered + 1
        if entered == ${eventsPerEntry} then enter() end
      end
    end
    ids[#ids + 1] = stored
  end
end
if counted > 0 then call('INCRBY', counter, counted) end
if #waiting > 0 then call('LPUSH', wait, unpack(waiting)) end
if #fresh > 0 then rememberAliases(buckets, fresh) end
enter()
if failure then error(failure) end
return ids`

/** Entry of the inbox. Its data is the job's, unless it says otherwise; `''` is none. */
export type InboxFields = { readonly meta: string; readonly data?: string; readonly raw?: string }

/** What happens together with an add that is no repetition, and only then. */
export type Extras = {
  /** A second deduplication id, and how long it holds, in milliseconds. */
  readonly alias?: string | undefined
  readonly aliasMs?: number | undefined
  readonly inbox?: InboxFields | undefined
}

/** KEYS of a queue, in the script's order. */
export function addKeys(prefix: string, queue: string): string[] {
  const key = (name: string) => `${prefix}:${queue}:${name}`
  return ['wait', 'paused', 'meta', 'id', 'completed', 'delayed', 'active', 'events', 'marker'].map(key)
}

export type OwnOptions = {
  readonly de?: { readonly id: string; readonly ttl?: number | undefined } | undefined
  /** Milliseconds. */
  readonly delay?: number | undefined
  readonly meta: JobMeta
}

/** Writes the options of a queue's jobs as JSON. `fixed` are those that are the same for each of them. */
export function optionsWriter(fixed: object): (own: OwnOptions) => string {
  const begun = JSON.stringify(fixed).slice(0, -1)
  return ({ de, delay, meta: { source, event, alias, tenant, ...rest } }) => {
    const dedupe = de === undefined ? '' : `,"de":{"id":${quote(de.id)}${member('ttl', de.ttl)}}`
    let meta = member('source', source) + member('event', event) + member('alias', alias) + member('tenant', tenant)
    for (const [name, value] of Object.entries(rest)) meta += member(name, value)
    return `${begun}${dedupe}${member('delay', delay)},"meta":{${meta.slice(1)}}}`
  }
}

/**
 * One job's part of ARGV. First what differs from job to job; then what seldom does: how long its deduplication id holds, and
 * its alias (empty for all aliases' time), the inbox entry's data (empty for the job's, `-` for none), its raw body. Text where possible: with a
 * buffer among them ioredis makes a buffer of each.
 */
export type AddArguments = readonly [
  id: string,
  name: string,
  timestamp: string,
  data: string,
  options: string,
  dedupeId: string,
  alias: string,
  entry: string,
  dedupeMs: number | '',
  aliasMs: number | '',
  entryData: string,
  entryRaw: string,
]

const ownWidth = 8
const fullWidth = 12

/**
 * ARGV for some jobs: the queue's key prefix, the inbox's key, how many there are for each job; then, where it is the same for all
 * of them, what seldom differs; then each job's. Because ioredis and redis-server both pay for each argument.
 */
export function callArguments(prefix: string, inbox: string, jobs: readonly AddArguments[]): (string | number)[] {
  const [first] = jobs
  const isUniform = first !== undefined && jobs.every((job) => isAlike(job, first))
  const width = isUniform ? ownWidth : fullWidth
  const args: (string | number)[] = [prefix, inbox, width]
  for (let i = ownWidth; i < fullWidth; i += 1) args.push(isUniform ? (first[i] ?? '') : '')
  for (const job of jobs) for (let i = 0; i < width; i += 1) args.push(job[i] ?? '')
  return args
}

function isAlike(one: AddArguments, other: AddArguments): boolean {
  return one[8] === other[8] && one[9] === other[9] && one[10] === other[10] && one[11] === other[11]
}

/** `options` must be in BullMQ's stored form, with `de` for deduplication, and both in its JSON and beside it. */
export function addArguments(job: {
  readonly id: string
  readonly name: string
  readonly timestamp: number
  readonly json: string
  readonly options: string
  readonly dedupe: { readonly id: string; readonly ttl: number } | undefined
  readonly extras?: Extras
}): AddArguments {
  const { dedupe, extras = {} } = job
  const { alias = '', inbox } = extras
  return [
    job.id,
    job.name,
    String(job.timestamp),
    job.json,
    job.options,
    dedupe?.id ?? '',
    alias,
    inbox?.meta ?? '',
    dedupe?.ttl ?? '',
    extras.aliasMs ?? '',
    inbox?.data === '' ? '-' : (inbox?.data ?? ''),
    inbox?.raw ?? '',
  ]
}

/**
 * BullMQ's functions stand at the margin and end with an `end` there; they use nothing of the script's but `rcall`. One
 * that did would be a global variable to Lua, which Redis refuses, and so would the test that runs them all.
 */
export function splitLua(text: string): { functions: string; body: string } {
  const functions: string[] = []
  const body = text.replace(/^local function [\s\S]*?^end[ \t]*$/gm, (whole) => {
    functions.push(whole)
    return ''
  })
  return { functions: functions.join('\n'), body }
}
