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
 * BullMQ's way of adding a plain job, for many jobs in one call.
 *
 * A pipeline of single adds is split by redis-server into pieces of 16 KB (its read buffer), and with
 * `appendfsync always` each piece costs an fsync. One call is one command: one fsync for the whole batch, and one
 * command to encode and one reply to read here. What BullMQ's script asks or writes with the same answer for each job
 * is done once: the queue's settings, the marker that wakes workers, the counter, whether any of the jobs is there already,
 * the list that they join, the end of the stream of events. And its general case, run for each job, makes such a
 * call dearer (measured: 24.9 against 20.6 µs a job), so the plain one is written out here; its helpers are BullMQ's
 * text. A test compares what this stores with what Queue.add stores, key by key.
 */

const helpers = ['isQueuePausedOrMaxed', 'getOrSetMaxEvents', 'setDeduplicationKey', 'recoverStaleDeduplicationKey']
  .map((name) => functionIn(addStandardJob.content, name))
  .join('\n')

/** So many events are one entry of the inbox at most: the less entries differ in size, the easier they are to bound. */
const eventsPerEntry = 16

/**
 * KEYS: as in BullMQ's addStandardJob. ARGV: see {@link callArguments}. Returns what {@link idsOf} reads.
 *
 * When one fails, those before it are complete all the same.
 */
export const addScript = `${gatedCall('moves')}
${aliasFunctions}
${helpers}
local call, trying = redis.call, redis.pcall
local wait, meta, counter, active, events, marker = KEYS[1], KEYS[3], KEYS[4], KEYS[7], KEYS[8], KEYS[9]
local prefix, inbox, width = ARGV[1], ARGV[2], tonumber(ARGV[3])
local ttl, aliasMs, own, raw = tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7]

local jobs, aliases = {}, {}
for i = 8, #ARGV, width do
  jobs[#jobs + 1] = prefix .. ARGV[i]
  -- One that holds for a time of its own is asked for below, and here for nothing.
  if ARGV[i + 6] ~= '' then aliases[#aliases + 1] = ARGV[i + 6] end
end
local areNew = #jobs > 0 and call('EXISTS', unpack(jobs)) == 0
local buckets, known = aliasBuckets(prefix), {}
if #aliases > 0 then known = aliasesIn(buckets, aliases) end

local others, taken, tried, added, waiting, fresh, entries, entered = {}, 0, 0, {}, {}, {}, {}, 0
-- Keys that name the job in hand: if it is not stored, they would swallow every repetition.
local dedupeKey, aliasKey

local function enter(entry, data)
  local n = #entries
  entries[n + 1], entries[n + 2] = 'meta', entry
  if own ~= '-' then entries[n + 3], entries[n + 4] = 'data', own == '' and data or own end
  if raw ~= '' then
    entries[#entries + 1] = 'raw'
    entries[#entries + 1] = raw
  end
  entered = entered + 1
end
-- What is only for finding it again must not keep anybody's job from being stored.
local function flush()
  if entered > 0 then trying('XADD', inbox, '*', unpack(entries)) end
  entries, entered = {}, 0
end

-- The id of the job that has the key already.
local function holder(key, id, dedupe)
  local current = call('GET', key)
  if recoverStaleDeduplicationKey(key, prefix, current, id, dedupe, { ttl = ttl }) then return end
  call('XADD', events, '*', 'event', 'deduplicated', 'jobId', current, 'deduplicationId', dedupe, 'deduplicatedJobId', id)
  return current
end

-- Stores a job, or gives the id of the one that it repeats.
local function store(id, name, timestamp, data, options, dedupe)
  local job = prefix .. id
  tried = tried + 1
  if added[id] or not areNew and call('EXISTS', job) == 1 then
    call('XADD', events, '*', 'event', 'duplicated', 'jobId', id)
    return id, false
  end
  if dedupe == '' then
    call('HMSET', job, 'name', name, 'data', data, 'opts', options, 'timestamp', timestamp, 'delay', '0', 'priority', '0')
  else
    local key = prefix .. 'de:' .. dedupe
    local current
    if ttl and not call('SET', key, id, 'PX', ttl, 'NX') or not ttl and not call('SET', key, id, 'NX') then
      current = holder(key, id, dedupe)
    end
    if current then return current, false end
    dedupeKey = key
    call('HMSET', job, 'name', name, 'data', data, 'opts', options, 'timestamp', timestamp, 'delay', '0', 'priority', '0',
      'deid', dedupe)
  end
  waiting[#waiting + 1], added[id] = id, true
  call('XADD', events, '*', 'event', 'added', 'jobId', id, 'name', name)
  call('XADD', events, '*', 'event', 'waiting', 'jobId', id)
  return id, true
end

local function addAll()
  for i = 8, #ARGV, width do
    local id, data, alias, entry = ARGV[i], ARGV[i + 3], ARGV[i + 6], ARGV[i + 7]
    if width > 8 then ttl, aliasMs, own, raw = tonumber(ARGV[i + 8]), ARGV[i + 9], ARGV[i + 10], ARGV[i + 11] end
    dedupeKey, aliasKey = nil, alias ~= '' and aliasMs ~= '' and prefix .. 'de:' .. alias or nil
    local first
    -- Not asked first: nearly always it is new, and then one call does.
    if aliasKey and not call('SET', aliasKey, id, 'PX', aliasMs, 'NX') then
      first, aliasKey = call('GET', aliasKey), nil
    elseif alias ~= '' and not aliasKey then
      first = known[alias]
    end
    local isNew = false
    if not first then first, isNew = store(id, ARGV[i + 1], ARGV[i + 2], data, ARGV[i + 4], ARGV[i + 5]) end
    if isNew then
      if alias ~= '' and not aliasKey then
        known[alias] = id
        fresh[#fresh + 1] = alias
        fresh[#fresh + 1] = id
      end
      if entry ~= '' then
        enter(entry, data)
        if entered == ${eventsPerEntry} then flush() end
      end
    elseif aliasKey and first ~= id then
      call('DEL', aliasKey)
    end
    if first ~= id then others[#others + 1], others[#others + 2] = taken, first end
    taken = taken + 1
  end
end

local maxEvents = getOrSetMaxEvents(meta)
local done, failure = pcall(addAll)
if not done and not added[ARGV[8 + taken * width]] then
  if dedupeKey then call('DEL', dedupeKey) end
  if aliasKey then call('DEL', aliasKey) end
end
if #waiting > 0 then
  rcall('LPUSH', wait, unpack(waiting))
  if not isQueuePausedOrMaxed(meta, active) then call('ZADD', marker, '0', '0') end
end
if tried > 0 then
  call('INCRBY', counter, tried)
  trying('XTRIM', events, 'MAXLEN', '~', maxEvents)
end
if #fresh > 0 then rememberAliases(buckets, fresh) end
flush()
if not done then error(failure) end
return others`

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

/**
 * Under which ids the jobs of a call are stored. The script tells only of those that are not stored under their own, as
 * pairs of place and id: nearly always there is none, and a list of all would be made and read for nothing.
 */
export function idsOf(jobs: readonly AddArguments[], answer: unknown): string[] {
  const ids = jobs.map(([id]) => id)
  const others = answer as readonly unknown[]
  for (let i = 0; i < others.length; i += 2) ids[Number(others[i])] = String(others[i + 1])
  return ids
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

/** The text of one of a script's functions: BullMQ's stand at the margin and end with an `end` there. */
function functionIn(text: string, name: string): string {
  const found = new RegExp(`^local function ${name}\\([\\s\\S]*?^end[ \\t]*$`, 'm').exec(text)
  if (!found) throw new Error(`BullMQ's script has no function ${name}`)
  return found[0]
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
