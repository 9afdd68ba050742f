import type { Pool } from 'pg'
import type { Logger } from '../observe/log.ts'
import { type Database, mayTryAgain, type Query, type Row, statementMs, unavailable } from './database.ts'
import { migrate } from './migrations.ts'

/** Sessions are small and their statements short; a server has a hundred connections by default, for all of its clients. */
const connections = 5
const connectMs = 2_000

/** A PostgreSQL that somebody else runs. Nothing is opened before the first statement. */
export class Postgres implements Database {
  readonly what: string
  readonly #url: string
  readonly #log: Logger
  #pool: Promise<Pool> | undefined
  #ready: Promise<void> | undefined

  constructor({ url, log }: { url: string; log: Logger }) {
    const { hostname, port, pathname } = new URL(url)
    this.what = `PostgreSQL ${hostname || 'on this machine'}${port ? `:${port}` : ''}${pathname}`
    this.#url = url
    this.#log = log
  }

  async query(sql: string, params: Parameters<Query>[1] = [], isAgain = false): Promise<readonly Row[]> {
    try {
      this.#pool ??= this.#open()
      const pool = await this.#pool
      this.#ready ??= this.#prepare(pool)
      await this.#ready
      return (await pool.query({ text: sql, values: [...params] })).rows as Row[]
    } catch (error) {
      if (!isAgain && mayTryAgain(sql, error)) return this.query(sql, params, true)
      throw unavailable(this.what, error)
    }
  }

  async stop(): Promise<void> {
    const pool = await this.#pool?.catch(() => undefined)
    this.#pool = undefined
    this.#ready = undefined
    await pool?.end()
  }

  async #open(): Promise<Pool> {
    const { default: pg } = await import('pg')
    const pool = new pg.Pool({
      connectionString: this.#url,
      application_name: 'millrace',
      max: connections,
      connectionTimeoutMillis: connectMs,
      idleTimeoutMillis: 30_000,
      // Ours, for a server that says nothing any more. The server's own is asked for at the greeting, which PgBouncer refuses.
      query_timeout: statementMs,
      keepAlive: true,
    })
    // An idle connection that the server closes; the next statement opens another.
    pool.on('error', (error) => this.#log.warn({ err: error }, 'database connection lost'))
    return pool
  }

  /** Once for each process. After a failure the next statement tries again. */
  async #prepare(pool: Pool): Promise<void> {
    try {
      const client = await pool.connect()
      let isClean = false
      try {
        await client.query('BEGIN')
        await migrate(
          async (sql, params = []) => (await client.query({ text: sql, values: [...params] })).rows as Row[],
        )
        await client.query('COMMIT')
        isClean = true
      } finally {
        // With an error it is closed, and its transaction with it.
        client.release(!isClean)
      }
    } catch (error) {
      this.#ready = undefined
      throw error
    }
  }
}
