import { MillraceError, messageOf } from '../errors.ts'
import type { Check } from '../observe/check.ts'

export type Row = Readonly<Record<string, unknown>>
export type Query = (sql: string, params?: readonly (string | number | null)[]) => Promise<readonly Row[]>

/** Where sessions are kept for good. One statement at a time; each is a transaction of its own. */
export type Database = {
  /** What it is, for messages: no user, no password. */
  readonly what: string
  /** Connects, and brings the tables up to date, when first asked. Throws `database-unavailable`. */
  readonly query: Query
  /** `deadline` in milliseconds since the epoch. */
  stop(deadline?: number): Promise<void>
}

/** Somebody waits for each statement; none of ours reads more than one session or 500 names. */
export const statementMs = 5_000

export function unavailable(what: string, cause: unknown): MillraceError {
  return new MillraceError('database-unavailable', `${what}: ${messageOf(cause)}`, { cause, retryAfter: 2 })
}

/** A connection that was lost under a statement. Whether it was done is not known, so that only reading may be tried again. */
export function mayTryAgain(sql: string, error: unknown): boolean {
  return (
    sql.startsWith('SELECT') &&
    /^(its process ended|Connection terminated|read ECONNRESET|write EPIPE)/.test(messageOf(error))
  )
}

/** The same, which remembers how its last statement ended: to ask costs the database nothing. */
export function watched(database: Database): { readonly database: Database; readonly check: () => Check } {
  let last: string | undefined
  let isKnown = false
  return {
    database: {
      what: database.what,
      stop: (deadline) => database.stop(deadline),
      query: async (sql, params) => {
        try {
          const rows = await database.query(sql, params)
          last = undefined
          return rows
        } catch (error) {
          last = messageOf(error)
          throw error
        } finally {
          isKnown = true
        }
      },
    },
    check: () => {
      const name = 'database'
      if (last !== undefined) return { name, state: 'warn', detail: `${last}; sessions cannot be changed` }
      return { name, state: 'ok', detail: isKnown ? database.what : `${database.what}, not used yet` }
    },
  }
}
