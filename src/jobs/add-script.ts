import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { Packr } from 'msgpackr'

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

/**
 * KEYS: as in BullMQ's addStandardJob. ARGV: the inbox's key and length, then for each job the eight of
 * {@link AddArguments}. Returns a list of ids.
 */
export const addScript = `local rcall = redis.call
${functions}
local function add(KEYS, ARGV)
${body}
end
local ids = {}
for i = 3, #ARGV, 8 do
  local alias, entry, more = ARGV[i + 4], ARGV[i + 6], ARGV[i + 7]
  local id = alias ~= '' and rcall('GET', alias) or nil
  if not id then
    id = add(KEYS, { ARGV[i], ARGV[i + 1], ARGV[i + 2] })
    if id == ARGV[i + 3] then
      if alias ~= '' then rcall('SET', alias, id, 'PX', ARGV[i + 5]) end
      if entry ~= '' then
        local fields = more ~= '' and cmsgpack.unpack(more) or { 'data', ARGV[i + 1] }
        rcall('XADD', ARGV[1], 'MAXLEN', '~', ARGV[2], '*', 'meta', entry, unpack(fields))
      end
    end
  end
  ids[#ids + 1] = id
end
return ids`

/** What happens together with an add that is no repetition, and only then. */
export type Extras = {
  /** Key of a second deduplication id, and how long it holds, in milliseconds. */
  readonly alias?: { readonly key: string; readonly ms: number }
  /** Entry of the inbox. Without `fields` the job's data is its data. */
  readonly inbox?: { readonly meta: string; readonly fields?: readonly (string | Buffer)[] }
}

export const addScriptSha = createHash('sha1').update(addScript).digest('hex')

// As BullMQ packs: records would be a msgpackr extension that Lua's cmsgpack does not know.
const packr = new Packr({ useRecords: false, encodeUndefinedAsNil: true } as object)

/** KEYS of a queue, in the script's order. */
export function addKeys(prefix: string, queue: string): string[] {
  const key = (name: string) => `${prefix}:${queue}:${name}`
  return ['wait', 'paused', 'meta', 'id', 'completed', 'delayed', 'active', 'events', 'marker'].map(key)
}

/** msgpackr begins every map with 0xde and the number of its entries in two bytes. */
const mapHeaderBytes = 3

/**
 * Packs the options of a queue's jobs. `fixed` are those that are the same for each of them and packed only once: packing
 * them each time costs more than all the rest of an add (measured: 4.3 against 0.8 µs).
 */
export function optionsPacker(fixed: object): (own: object) => Buffer {
  const packed = packr.pack(fixed)
  const count = Object.keys(fixed).length
  return (own) => {
    const whole = Buffer.concat([packed, packr.pack(own).subarray(mapHeaderBytes)])
    whole.writeUInt16BE(count + Object.keys(own).length, 1)
    return whole
  }
}

/** One job's ARGV: packed arguments, data, packed options, id, alias, its milliseconds, inbox entry, its other fields. */
export type AddArguments = readonly [Buffer, string, Buffer, string, string, number, string, Buffer | '']

/** `options` must be in BullMQ's stored form, with `de` for deduplication, and packed. */
export function addArguments(job: {
  readonly keyPrefix: string
  readonly id: string
  readonly name: string
  readonly timestamp: number
  readonly json: string
  readonly options: Buffer
  readonly dedupeId: string | undefined
  readonly extras?: Extras
}): AddArguments {
  const dedupeKey = job.dedupeId === undefined ? null : `${job.keyPrefix}de:${job.dedupeId}`
  const { alias, inbox } = job.extras ?? {}
  return [
    packr.pack([job.keyPrefix, job.id, job.name, job.timestamp, null, null, null, null, dedupeKey, null]),
    job.json,
    job.options,
    job.id,
    alias?.key ?? '',
    alias?.ms ?? 0,
    inbox?.meta ?? '',
    inbox?.fields ? packr.pack(inbox.fields) : '',
  ]
}

/**
 * BullMQ's functions stand at the margin and end with an `end` there; they use nothing of the script's but `rcall`. One
 * that did would be a global variable to Lua, which Redis refuses, and so would the test that runs them all.
 */
function splitLua(text: string): { functions: string; body: string } {
  const functions: string[] = []
  const body = text.replace(/^local function [\s\S]*?^end[ \t]*$/gm, (whole) => {
    functions.push(whole)
    return ''
  })
  return { functions: functions.join('\n'), body }
}
