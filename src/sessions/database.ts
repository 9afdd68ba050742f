import { MillraceError, messageOf } from '../errors.ts'

export type Row = Readonly<Record<string, unknown>>
export type Query = (sql: string, params?: readonly (string | number | null)[]) => Promise<readonly Row[]>

/** Where sessions are kept for good. One statement at a time; each is a transaction of its own. */
export type Database = {
  /** What it is, for messages: no user, no password. */
  readonly what: string
  /** Connects, and brings the tables up to date, when first asked. Throws `database-unavailable`. */
  readonly query: Query
  stop(): Promise<void>
}

/** Somebody waits for each statement; none of ours reads more than one session or 500 names. */
export const statementMs = 5_000

export function unavailable(what: string, cause: unknown): MillraceError {
  return new MillraceError('database-unavailable', `${what}: ${messageOf(cause)}`, { cause, retryAfter: 2 })
}
