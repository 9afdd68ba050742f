import { type DestinationStream, type Logger, pino } from 'pino'
import { build as pretty } from 'pino-pretty'
import { messageOf } from '../errors.ts'
import { createLineOutput } from './stdout.ts'

export type { Logger }

/**
 * Names of fields that may hold a secret, in lower case without dashes and underscores, at whatever depth. Payloads,
 * bodies and headers are not logged at all; this is for what handlers write.
 */
const secretNames =
  /^(?:.*(?:password|passwd|secret|secrets|token|apikey|signature)|key|auth|authorization|cookie|setcookie|credentials)$/
/** Deeper than this nobody reads, and a cycle would never end. */
const maxDepth = 5

/**
 * The process's logger: JSON lines, or readable ones on a terminal. Lines go out before the turn of the event loop is over, so
 * that only a process that is killed in the middle of one loses any; whatever ends it otherwise, an uncaught error included,
 * writes them first.
 */
export function createLogger({ logLevel, logFormat }: { logLevel: string; logFormat: 'pretty' | 'json' }): Logger {
  const options = {
    level: logLevel,
    base: null,
    timestamp: isoTime(),
    formatters: {
      level: (label: string) => ({ level: label }),
      log: redactFields,
    },
    // Done by then; pino's own would look for more in what is left.
    serializers: { err: (value: unknown) => value },
    hooks: {
      /** pino would copy an error's message unread into the line's own. */
      logMethod(this: Logger, args: unknown[], write: (...args: unknown[]) => void): void {
        const [first, second, ...rest] = args
        const error = first instanceof Error ? first : (first as { err?: unknown } | undefined)?.err
        const text = typeof second === 'string' ? second : error instanceof Error ? error.message : undefined
        const fields = first instanceof Error ? { err: first } : first
        if (typeof first === 'string') write.call(this, scrub(first), second, ...rest)
        else if (text === undefined) write.call(this, fields)
        else write.call(this, fields, scrub(text), ...rest)
      },
    },
  }
  const log = (
    logFormat === 'pretty'
      ? pino(
          options as object,
          pretty({ sync: true, singleLine: true, translateTime: 'SYS:HH:MM:ss.l', ignore: 'pid,hostname' }),
        )
      : pino(options as object, stdout())
  ) as Logger
  // pino shows what a child carries to no formatter. Children of children inherit this one.
  const { child } = log
  log.child = function (this: Logger, bindings: Record<string, unknown>, more) {
    return child.call(this, redactFields(bindings), more)
  } as Logger['child']
  return log
}

let standardOutput: DestinationStream | undefined

/** One for the process, which writes what is left when it exits. */
function stdout(): DestinationStream {
  if (standardOutput) return standardOutput
  const time = isoTime()
  const lostLine = (lines: number) =>
    `{"level":"warn"${time()},"msg":"${lines} lines of this log could not be written"}\n`
  const output = createLineOutput(1, { lostLine })
  process.on('exit', output.flush)
  standardOutput = output
  return output
}

/** As pino's isoTime; the text is made once for each millisecond, in which a busy process writes several lines. */
function isoTime(): () => string {
  let at = 0
  let text = ''
  return () => {
    const now = Date.now()
    if (now !== at) {
      at = now
      text = `,"time":"${new Date(now).toISOString()}"`
    }
    return text
  }
}

/** A copy without secrets, with errors as plain objects. */
export function redactFields(fields: Record<string, unknown>): Record<string, unknown> {
  const clean = redact(fields, 0) as Record<string, unknown>
  // Under this name also what is no Error stands for one.
  return 'err' in clean && clean.err !== undefined && typeof clean.err !== 'object'
    ? { ...clean, err: { message: scrub(String(clean.err)) } }
    : clean
}

/** A copy without secrets; the thing itself where there is nothing to take out, which is the usual line. */
function redact(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null || value instanceof Date) return value
  if (depth >= maxDepth) return '[deeper]'
  if (value instanceof Error) return serializeError(value, depth)
  if (Array.isArray(value)) return value.map((item) => redact(item, depth + 1))
  let copy: Record<string, unknown> | undefined
  for (const name in value) {
    const field = (value as Record<string, unknown>)[name]
    const clean = isSecret(name) ? '[redacted]' : redact(field, depth + 1)
    if (clean === field) continue
    copy ??= { ...value }
    copy[name] = clean
  }
  return copy ?? value
}

const verdicts = new Map<string, boolean>()

/** Remembered, because the same few names come with every line. */
function isSecret(name: string): boolean {
  let verdict = verdicts.get(name)
  if (verdict === undefined) {
    verdict = secretNames.test(name.toLowerCase().replace(/[-_]/g, ''))
    if (verdicts.size < 1_000) verdicts.set(name, verdict)
  }
  return verdict
}

/** Type, message, code, stack and cause, and nothing else: error objects of HTTP clients carry tokens and bodies. */
function serializeError(error: Error, depth: number): unknown {
  const { code } = error as { code?: unknown }
  return {
    type: error.name,
    message: scrub(error.message),
    ...(typeof code === 'string' || typeof code === 'number' ? { code } : {}),
    ...(error.stack === undefined ? {} : { stack: scrub(error.stack) }),
    ...(error.cause === undefined ? {} : { cause: causeOf(error, depth) }),
  }
}

function causeOf({ cause }: Error, depth: number): unknown {
  return cause instanceof Error ? redact(cause, depth + 1) : scrub(messageOf(cause))
}

const harmless = new Set<string>()

/** Takes out what looks like a credential: the user part of URLs, Slack tokens, bearer tokens. */
export function scrub(text: string): string {
  // Most messages are the same few words.
  if (harmless.has(text)) return text
  const clean = withoutCredentials(text)
  if (clean === text && text.length < 100 && harmless.size < 1_000) harmless.add(text)
  return clean
}

function withoutCredentials(text: string): string {
  return (
    text
      // Up to the last @, because passwords hold anything; but not where host and port are followed by a path.
      .replace(/([a-z][a-z+.-]*:\/\/)(?![^\s/@:]*(?::\d+)?[/?#])[^\s"'<>]*@/gi, '$1***@')
      .replace(/\bx(?:ox[a-z]|app|wfp)-[\w-]+/g, '***')
      .replace(/\b(Bearer|Basic)\s+[\w.~+/=-]+/gi, '$1 ***')
  )
}
