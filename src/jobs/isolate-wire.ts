import { defer, drop, isDefer, isDrop } from '../define/outcome.ts'
import { RateLimited } from '../define/rate-limited.ts'
import type { EnqueueOptions, Job } from '../define/worker.ts'
import { MillraceError, messageOf } from '../errors.ts'
import { type AbortCause, AttemptAborted } from './attempt.ts'

/*
 * What crosses between a worker process and the child processes of its isolated workers. Node's own serialization carries
 * plain data, Dates, Maps and buffers; errors lose their class on the way, hence the packing. Every message of a run
 * carries its number, so that what a handler leaves behind is never taken for the next job's.
 */

export type ToChild =
  /** The first message: which worker, and the environment that its settings are read from. */
  | { readonly do: 'load'; readonly file: string; readonly env: Readonly<Record<string, string>> }
  /** The payload is what is stored; the child's own schema makes of it what the handler gets. */
  | { readonly do: 'run'; readonly run: number; readonly job: Job<unknown>; readonly levels: readonly LogLevel[] }
  | { readonly do: 'abort'; readonly run: number; readonly because: AbortCause; readonly message: string }
  /** To an enqueue. */
  | { readonly do: 'answer'; readonly n: number; readonly value?: unknown; readonly thrown?: Packed }

export type ToParent =
  | { readonly say: 'ready' }
  /** It cannot go on, and ends: an error that nobody caught, or a file that does not load. */
  | { readonly say: 'broken'; readonly thrown: Packed }
  | { readonly say: 'log'; readonly run: number; readonly level: LogLevel; readonly args: readonly unknown[] }
  | {
      readonly say: 'enqueue'
      readonly run: number
      readonly n: number
      /** enqueue.now, where there is one. */
      readonly now: boolean
      readonly queue: string
      readonly json: string
      readonly options: EnqueueOptions
    }
  | { readonly say: 'done'; readonly run: number; readonly result: PackedResult }
  | { readonly say: 'failed'; readonly run: number; readonly thrown: Packed }

export const logLevels = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof logLevels)[number]

// — errors

export type Packed =
  | { readonly value: unknown }
  | {
      /** Of its class and those that the class extends, nearest first. */
      readonly classes: readonly string[]
      readonly name: string
      readonly message: string
      readonly stack: string | undefined
      readonly cause?: Packed
      /** `code` and whatever else the error carries as plain data. */
      readonly fields: Readonly<Record<string, unknown>>
      /** What it carries under symbols that both sides know, by the symbols' names. */
      readonly marks: Readonly<Record<string, unknown>>
    }

/** Causes of causes: deeper than this nobody reads, and a cycle would never end. */
const maxDepth = 5

export function pack(thrown: unknown, depth = 0): Packed {
  if (!(thrown instanceof Error)) return { value: isPrimitive(thrown) ? thrown : messageOf(thrown) }
  const classes: string[] = []
  for (let at = Object.getPrototypeOf(thrown); at && at !== Object.prototype; at = Object.getPrototypeOf(at))
    classes.push(String(at.constructor?.name ?? ''))
  const { cause } = thrown
  return {
    classes,
    name: String(thrown.name),
    message: String(thrown.message),
    stack: typeof thrown.stack === 'string' ? thrown.stack : undefined,
    ...(cause === undefined || depth >= maxDepth ? {} : { cause: pack(cause, depth + 1) }),
    fields: Object.fromEntries(
      Object.entries(thrown).filter(
        ([key, value]) => !['name', 'message', 'stack', 'cause'].includes(key) && crosses(value),
      ),
    ),
    marks: Object.fromEntries(
      Object.getOwnPropertySymbols(thrown).flatMap((symbol) => {
        const [name, value] = [Symbol.keyFor(symbol), thrown[symbol as never] as unknown]
        return name !== undefined && crosses(value) ? [[name, value]] : []
      }),
    ),
  }
}

/** Classes that both sides have, so that `instanceof` holds; of others the names are kept, which retry.on goes by. */
const known = new Map<string, object>(
  [Error, TypeError, RangeError, SyntaxError, ReferenceError, MillraceError, RateLimited, AttemptAborted].map((one) => [
    one.name,
    one.prototype as object,
  ]),
)

/** What was thrown, as near as can be. */
export function unpack(packed: Packed): unknown {
  if ('value' in packed) return packed.value
  const error = new Error(packed.message)
  let prototype: object = Error.prototype
  for (const name of [...packed.classes].reverse()) prototype = known.get(name) ?? extended(prototype, name)
  Object.setPrototypeOf(error, prototype)
  const hidden = (key: string, value: unknown) =>
    Object.defineProperty(error, key, { value, writable: true, configurable: true, enumerable: false })
  if (error.name !== packed.name) hidden('name', packed.name)
  hidden('stack', packed.stack)
  if (packed.cause) hidden('cause', unpack(packed.cause))
  for (const [name, value] of Object.entries(packed.marks)) Object.assign(error, { [Symbol.for(name)]: value })
  return Object.assign(error, packed.fields)
}

/** A class of which only the name is left. */
function extended(prototype: object, name: string): object {
  const named = Object.defineProperty(() => {}, 'name', { value: name })
  return Object.create(prototype, { constructor: { value: named } }) as object
}

// — results

/** A result crosses as the JSON that is stored; an outcome by its parts, because symbols do not cross. */
export type PackedResult =
  | { readonly json: string | undefined }
  | { readonly defer: number; readonly reason: string | undefined }
  | { readonly drop: string }
  /** It is not JSON: the work is done all the same. */
  | { readonly lost: Packed }

export function packResult(result: unknown): PackedResult {
  if (isDefer(result)) return { defer: result.ms, reason: result.reason }
  if (isDrop(result)) return { drop: result.reason }
  try {
    return { json: JSON.stringify(result) }
  } catch (error) {
    return { lost: pack(error) }
  }
}

export function unpackResult(packed: PackedResult, onLost: (error: unknown) => void): unknown {
  if ('defer' in packed) return defer(`${packed.defer}ms`, packed.reason)
  if ('drop' in packed) return drop(packed.drop)
  if ('json' in packed) return packed.json === undefined ? undefined : JSON.parse(packed.json)
  onLost(unpack(packed.lost))
  return undefined
}

// — log lines

type Marked = { readonly $error: Packed }

/** Arguments of a log line without what cannot cross. A line must never be what makes an attempt fail. */
export function packLog(value: unknown, depth = 0): unknown {
  if (value instanceof Error) return { $error: pack(value) } satisfies Marked
  if (typeof value === 'bigint' || typeof value === 'symbol') return String(value)
  if (typeof value === 'function') return undefined
  if (isPrimitive(value) || value instanceof Date) return value
  if (depth > maxDepth) return '[deeper]'
  if (Array.isArray(value)) return value.map((item) => packLog(item, depth + 1))
  return Object.fromEntries(Object.entries(value as object).map(([key, item]) => [key, packLog(item, depth + 1)]))
}

export function unpackLog(value: unknown): unknown {
  if (isPrimitive(value) || value instanceof Date) return value
  if (Array.isArray(value)) return value.map(unpackLog)
  if ('$error' in (value as object)) return unpack((value as Marked).$error)
  return Object.fromEntries(Object.entries(value as object).map(([key, item]) => [key, unpackLog(item)]))
}

function isPrimitive(value: unknown): boolean {
  return (typeof value !== 'object' && typeof value !== 'function' && typeof value !== 'symbol') || value === null
}

function crosses(value: unknown): boolean {
  if (isPrimitive(value)) return true
  try {
    structuredClone(value)
    return true
  } catch {
    return false
  }
}
