import type { Redis } from 'ioredis'
import type { Log } from '../define/worker.ts'
import { type Logger, redactFields, scrub } from '../observe/log.ts'
import { scriptCall } from '../redis/script-call.ts'

/** Kept of one attempt: the last ones, which lead to its end. */
const linesOfAttempt = 50
/** Kept of a job, all its attempts together. */
export const linesOfJob = 100
/** Characters of a line. */
const longestLine = 500
/** A handler that takes longer shows its lines while it is at it. */
const flushMs = 1_000

/** Lines that are kept with a job; `lines` are text, `time level message {fields}`. */
export type KeepLines = (id: string, lines: readonly string[]) => void

/** Also says at which levels there is any use in writing. */
export type AttemptLog = Log & Pick<Logger, 'isLevelEnabled'>

/** What a handler logs: into the process's log, and from level info on also with its job, where whoever looks at that finds it. */
export class JobLog implements AttemptLog {
  readonly #log: Logger
  readonly #keep: (lines: readonly string[]) => void
  #lines: string[] = []
  #flushAt = Date.now() + flushMs

  constructor(log: Logger, keep: (lines: readonly string[]) => void) {
    this.#log = log
    this.#keep = keep
  }

  readonly debug = (first: object | string, message?: string): void => this.#log.debug(first as object, message)
  readonly info = (first: object | string, message?: string): void => this.#write('info', first, message)
  readonly warn = (first: object | string, message?: string): void => this.#write('warn', first, message)
  readonly error = (first: object | string, message?: string): void => this.#write('error', first, message)

  isLevelEnabled(level: string): boolean {
    return level !== 'debug' || this.#log.isLevelEnabled(level)
  }

  /** Keeps what has not been kept yet. */
  flush(): void {
    if (this.#lines.length === 0) return
    this.#keep(this.#lines)
    this.#lines = []
    this.#flushAt = Date.now() + flushMs
  }

  #write(level: 'info' | 'warn' | 'error', first: object | string, message: string | undefined): void {
    this.#log[level](first as object, message)
    if (this.#lines.length === linesOfAttempt) this.#lines.shift()
    this.#lines.push(lineOf(level, first, message))
    if (Date.now() >= this.#flushAt) this.flush()
  }
}

function lineOf(level: string, first: object | string, message: string | undefined): string {
  const fields = typeof first === 'string' ? {} : redactFields(first instanceof Error ? { err: first } : { ...first })
  const words = typeof first === 'string' ? first : (message ?? '')
  const text = [new Date().toISOString(), level, scrub(words), textOf(fields)].filter((part) => part !== '').join(' ')
  return text.length > longestLine ? `${text.slice(0, longestLine - 1)}…` : text
}

function textOf(fields: Record<string, unknown>): string {
  try {
    const text = JSON.stringify(fields)
    return text === '{}' ? '' : text
  } catch {
    return '(fields that are not JSON)'
  }
}

/** KEYS: a job, and BullMQ's list of its lines. ARGV: how many are kept, and the lines. Leaves nothing behind for a job that is gone. */
const keep = scriptCall(`if redis.call('EXISTS', KEYS[1]) == 0 then return end
redis.call('RPUSH', KEYS[2], unpack(ARGV, 2))
redis.call('LTRIM', KEYS[2], -ARGV[1], -1)`)

/** Into the jobs of a queue. Nobody waits for it, and a store that takes no more writes does without. */
export function keepLines(redis: Redis, queueKey: string): KeepLines {
  return (id, lines) => {
    const job = `${queueKey}:${id}`
    keep(redis, [job, `${job}:logs`], [linesOfJob, ...lines]).catch(() => {})
  }
}
