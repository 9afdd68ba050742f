import { type Logger, pino } from 'pino'
import { build as pretty } from 'pino-pretty'

export type { Logger }

/**
 * Fields that may hold a secret, wherever a caller might put them. pino's `*` stands for exactly one level, so the
 * depths that occur are listed. Payloads, bodies and headers are not logged at all.
 */
const secretFields = ['password', 'secret', 'secrets', 'token', 'key', 'authorization', 'cookie', 'signature']
const redacted = secretFields.flatMap((field) => [field, `*.${field}`, `*.*.${field}`])

/** The process's logger: JSON lines, or readable ones on a terminal. Lines go out at once, so none is lost by a crash. */
export function createLogger({ logLevel, logFormat }: { logLevel: string; logFormat: 'pretty' | 'json' }): Logger {
  const options = {
    level: logLevel,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    redact: { paths: redacted, censor: '[redacted]' },
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { err: serializeError },
  }
  return logFormat === 'pretty'
    ? pino(options, pretty({ sync: true, singleLine: true, translateTime: 'SYS:HH:MM:ss.l', ignore: 'pid,hostname' }))
    : pino(options, pino.destination({ fd: 1, sync: true }))
}

/** Type, message, code, stack and cause, and nothing else: error objects of HTTP clients carry tokens and bodies. */
function serializeError(error: unknown): unknown {
  if (!(error instanceof Error)) return { message: String(error) }
  const { code } = error as { code?: unknown }
  return {
    type: error.name,
    message: scrub(error.message),
    ...(code === undefined ? {} : { code }),
    ...(error.stack === undefined ? {} : { stack: scrub(error.stack) }),
    ...(error.cause === undefined ? {} : { cause: serializeError(error.cause) }),
  }
}

/** Takes out what looks like a credential: passwords in URLs, Slack tokens, bearer tokens. */
export function scrub(text: string): string {
  return text
    .replace(/(\w+:\/\/)[^\s/@]*:[^\s/@]*@/g, '$1***@')
    .replace(/\bx(?:ox[a-z]|app)-[\w-]+/g, '***')
    .replace(/\b(Bearer|Basic)\s+[\w.~+/=-]+/gi, '$1 ***')
}
