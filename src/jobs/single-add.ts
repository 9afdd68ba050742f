import { createRequire } from 'node:module'
import type { Redis } from 'ioredis'
import type { Durability } from '../config.ts'
import { durationMs } from '../define/duration.ts'
import type { DedupeMode } from '../define/queue/dedupe.ts'
import type { AnyQueue } from '../define/queue.ts'
import type { EnqueueOptions } from '../define/worker.ts'
import { MillraceError } from '../errors.ts'
import { supersededMark } from '../policy/why.ts'
import { keys as storeKeys } from '../redis/keys.ts'
import { scriptCall } from '../redis/script-call.ts'
import { addKeys, type InboxFields, type OwnOptions, splitLua } from './add-script.ts'
import { unavailable } from './batch.ts'
import { hashedKey } from './bull.ts'
import { fsynced } from './fsynced.ts'
import { gatedCall } from './gate/calls.ts'

// BullMQ ships the text without types and without an exports map. Of its adds this one has delay and priority in one function.
const { addJobScheduler } = createRequire(import.meta.url)('bullmq/dist/cjs/scripts/addJobScheduler-11.js') as {
  addJobScheduler: { readonly content: string }
}

/*
 * Adds that are more than one more job at the end: with a delay, or in a queue whose jobs make room for each other. One at a
 * time, in one script: what becomes of the one before, the new job, its key and its inbox entry stand or fall together.
 *
 * What BullMQ's own deduplication options do instead would lose payloads that were acknowledged: a debounced one that comes
 * when the first has just become due, and with `keepLastIfActive` each that comes while the first still waits, or waits for
 * its next attempt. The keys are BullMQ's, and it is BullMQ that gives them back when a job ends: `de:<id>` holds the id of the
 * job that has the key, `dn:<id>` the one that is to follow it.
 */

/** A longer delay is a mistake of units; and BullMQ's order of delayed jobs loses precision in 2039. */
const maxDelayMs = 5 * 365 * 86_400_000

/** How a job is added that cannot simply join the batch. */
export type Apart = {
  readonly mode: DedupeMode | 'none'
  /** The job's own key. Without ttl it is held until the job has ended. */
  readonly key: { readonly id: string; readonly ttl: number } | undefined
  /** What tells that this very job was added before. */
  readonly guard: { readonly id: string; readonly ttl: number } | undefined
  readonly delayMs: number
}

/** Whether events of the queue cannot simply join the batch. */
export function isApart(queue: AnyQueue): boolean {
  return queue.dedupe !== undefined && queue.dedupe.mode !== 'once'
}

/** Undefined where a job can join the batch. `once` is the key that it would have there, and so one that was given in `options`. */
export function apartOf(
  queue: AnyQueue,
  payload: unknown,
  options: EnqueueOptions,
  once: { id: string; ttl: number } | undefined,
): Apart | undefined {
  const delayMs = options.delay === undefined ? 0 : durationMs(options.delay, 'delay')
  if (delayMs > maxDelayMs) throw new MillraceError('bad-request', `delay ${options.delay} is longer than five years`)
  if (!queue.dedupe || !isApart(queue))
    return delayMs === 0 ? undefined : { mode: once ? 'once' : 'none', key: once, guard: undefined, delayMs }
  const { mode, by, withinMs } = queue.dedupe
  return {
    mode,
    // Until the job has ended, debounced ones too: a key that ran out by the store's clock would not know the worker's.
    key: { id: hashedKey(by(payload), options.tenant), ttl: 0 },
    guard: options.dedupeKey === undefined ? undefined : once,
    delayMs: Math.max(delayMs, withinMs),
  }
}

/*
 * KEYS: as the batch's, and the prioritized jobs and their counter. ARGV: see `add`. Returns the id under which the job, or the
 * one that it repeats, is stored.
 */
const script = (() => {
  const { functions } = splitLua(addJobScheduler.content)
  return `${gatedCall('removes')}
local prefix, id, name, now, data, json, mode, own, ttl, delay, guard, guardTtl = unpack(ARGV, 1, 12)
local inbox, entry, entryData, entryRaw, cancels, queue = unpack(ARGV, 13, 18)
local attempt = redis.pcall
local cjson = { encode = function() return json end }
${functions}
local key, guardKey = prefix .. 'de:' .. own, prefix .. 'de:' .. guard
ttl, delay = tonumber(ttl), tonumber(delay)

-- Whether a job is still to end. One that is dead holds no key, whoever forgot to give it back.
local function isUnfinished(job)
  if not job then return false end
  local known = rcall('HMGET', prefix .. job, 'name', 'finishedOn')
  return known[1] and not known[2]
end
local function forget(job)
  removeJobKeys(prefix .. job)
  rcall('XADD', KEYS[8], 'MAXLEN', '~', 10000, '*', 'event', 'removed', 'jobId', job, 'prev', 'waiting')
end
local function remember(job)
  if guard ~= '' then rcall('SET', guardKey, job, 'PX', guardTtl) end
end

local repeated = guard ~= '' and rcall('GET', guardKey)
if repeated then return repeated end
local old = own ~= '' and rcall('GET', key)
local isFollower = false
if mode == 'once' and old then return old end
if mode == 'singleton' and isUnfinished(old) then
  remember(old)
  return old
elseif mode == 'keep-last' and isUnfinished(old) then
  isFollower = true
elseif mode == 'debounce' and old and rcall('ZREM', KEYS[6], old) == 1 then
  forget(old)
elseif mode == 'supersede' and isUnfinished(old) then
  local waited = rcall('LREM', KEYS[1], 1, old) + rcall('ZREM', KEYS[6], old) + rcall('ZREM', KEYS[10], old)
  if waited > 0 then forget(old) else
    -- As cancelScript does: the mark is what holds, the message only makes it sooner.
    rcall('HSET', prefix .. old, 'defa', '${supersededMark} by ' .. id)
    rcall('PUBLISH', cancels, queue .. ' ' .. old)
  end
end

if isFollower then
  local follower = prefix .. 'dn:' .. own
  rcall('DEL', follower)
  rcall('HSET', follower, 'name', name, 'data', data, 'opts', json, 'jid', id)
  rcall('PERSIST', key)
else
  if own ~= '' then
    if ttl > 0 then rcall('SET', key, id, 'PX', ttl) else rcall('SET', key, id) end
  end
  local opts = { delay = delay, de = own ~= '' and { id = own } or nil }
  rcall('INCR', KEYS[4])
  storeAndEnqueueJob(KEYS[8], prefix .. id, id, name, data, opts, now, nil, nil, nil, getOrSetMaxEvents(KEYS[3]),
    KEYS[1], KEYS[2], KEYS[7], KEYS[3], KEYS[10], KEYS[11], KEYS[6], KEYS[9])
end
remember(id)
if entry ~= '' then
  local fields = entryData == '' and { 'data', data } or entryData == '-' and {} or { 'data', entryData }
  if entryRaw ~= '' then
    fields[#fields + 1] = 'raw'
    fields[#fields + 1] = entryRaw
  end
  -- What is only for finding it again must not keep anybody's job from being stored.
  attempt('XADD', inbox, '*', 'meta', entry, unpack(fields))
end
return id`
})()

const run = scriptCall(script)

export type SingleAddOptions = {
  readonly redis: Redis
  readonly prefix: string
  readonly durability: Durability
  readonly ackDeadlineMs: number
  readonly inbox?: { readonly key: string } | undefined
}

export type SingleJob = {
  readonly queue: string
  readonly id: string
  readonly name: string
  /** The payload, as it is to be stored. */
  readonly data: string
  /** BullMQ's options as JSON, `delay` and `de` included. */
  readonly options: string
  readonly apart: Apart
  readonly inbox?: InboxFields | undefined
}

/** What the job's options have to say of it, for BullMQ. */
export function storedOptions({ key, delayMs }: Apart): Omit<OwnOptions, 'meta'> {
  const de = key && { id: key.id, ttl: key.ttl > 0 ? key.ttl : undefined }
  return { de, delay: delayMs > 0 ? delayMs : undefined }
}

export type SingleAdd = {
  /** The id under which the job, or the one that it repeats, is stored. Rejects with `store-unavailable`. */
  add(job: SingleJob): Promise<string>
  /** Resolves when every add so far has an answer. */
  drained(): Promise<void>
}

export function createSingleAdd({ redis, prefix, durability, ackDeadlineMs, inbox }: SingleAddOptions): SingleAdd {
  const pending = new Set<Promise<unknown>>()

  async function send({ queue, id, name, data, options, apart, inbox: entry }: SingleJob): Promise<string> {
    const { mode, key, guard, delayMs } = apart
    const start = `${prefix}:${queue}:`
    const keys = [...addKeys(prefix, queue), `${start}prioritized`, `${start}pc`]
    const own = [id, name, Date.now(), data, options, mode, key?.id ?? '', key?.ttl ?? 0, delayMs]
    const event = [entry?.meta ?? '', entry?.data === '' ? '-' : (entry?.data ?? ''), entry?.raw ?? '']
    const args = [start, ...own, guard?.id ?? '', guard?.ttl ?? 0, inbox?.key ?? '', ...event]
    const all = [...args, storeKeys.cancel(prefix), queue]
    try {
      const stored = await run(redis, keys, all)
      await fsynced(redis, durability, ackDeadlineMs)
      return String(stored)
    } catch (error) {
      throw unavailable(error)
    }
  }

  return {
    add: (job) => {
      const sent = send(job)
      const settled = sent.catch(() => {}).then(() => void pending.delete(settled))
      pending.add(settled)
      return sent
    },
    drained: async () => void (await Promise.all(pending)),
  }
}
