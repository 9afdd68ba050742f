import type { Session } from '../define/services.ts'
import { keyPart, room } from '../redis/room.ts'
import type { Database } from './database.ts'

/** A session as the database has it. `stamp` grows with each change of it. */
export type Stored = { readonly session: Session; readonly stamp: number }
/** Which one: of which instance (KEY_PREFIX), of which tenant. */
export type Place = { readonly tenant: string | undefined; readonly id: string }
/** What is left of one that was deleted: parts of its key, and its last stamp. */
export type Gone = { readonly id: string; readonly stamp: number }

/** In one statement, which holds its locks until it is over. */
const deleteAtOnce = 500

/** The table of sessions. Texts are stored as in keys: PostgreSQL's own cannot hold everything that a text may. */
export class SessionRows {
  readonly #database: Database
  readonly #instance: string

  constructor(database: Database, instance: string) {
    this.#database = database
    this.#instance = instance
  }

  async read(place: Place): Promise<Stored | undefined> {
    const [row] = await this.#database.query(
      'SELECT stamp::text AS stamp, state FROM millrace_sessions WHERE instance = $1 AND tenant = $2 AND id = $3',
      this.#key(place),
    )
    return row && { stamp: Number(row.stamp), session: JSON.parse(String(row.state)) as Session }
  }

  async stampOf(place: Place): Promise<number | undefined> {
    const [row] = await this.#database.query(
      'SELECT stamp::text AS stamp FROM millrace_sessions WHERE instance = $1 AND tenant = $2 AND id = $3',
      this.#key(place),
    )
    return row && Number(row.stamp)
  }

  /** The new stamp; undefined when there is one already. */
  async insert(place: Place, session: Session): Promise<number | undefined> {
    const [row] = await this.#database.query(
      `INSERT INTO millrace_sessions (instance, tenant, id, owner, state, active_at)
       VALUES ($1, $2, $3, $4, $5, to_timestamp($6::float8 / 1000))
       ON CONFLICT DO NOTHING RETURNING stamp::text AS stamp`,
      [...this.#key(place), ownerOf(session), JSON.stringify(session), session.lastActivityAt],
    )
    return row && Number(row.stamp)
  }

  /** The new stamp; undefined when it is no longer the one that was changed. */
  async replace(place: Place, session: Session, stamp: number): Promise<number | undefined> {
    const [row] = await this.#database.query(
      `UPDATE millrace_sessions
       SET owner = $4, state = $5, active_at = to_timestamp($6::float8 / 1000), stamp = nextval('millrace_session_stamps')
       WHERE instance = $1 AND tenant = $2 AND id = $3 AND stamp = $7::bigint RETURNING stamp::text AS stamp`,
      [...this.#key(place), ownerOf(session), JSON.stringify(session), session.lastActivityAt, stamp],
    )
    return row && Number(row.stamp)
  }

  async delete(place: Place): Promise<Gone | undefined> {
    const [row] = await this.#database.query(
      `DELETE FROM millrace_sessions WHERE instance = $1 AND tenant = $2 AND id = $3 RETURNING id, stamp::text AS stamp`,
      this.#key(place),
    )
    return row && { id: String(row.id), stamp: Number(row.stamp) }
  }

  async count(tenant: string | undefined, user?: string): Promise<number> {
    const [row] = await this.#database.query(
      `SELECT count(*)::text AS n FROM millrace_sessions WHERE instance = $1 AND tenant = $2 AND ($3::text IS NULL OR owner = $3)`,
      [this.#instance, room(tenant), user === undefined ? null : keyPart(user)],
    )
    return Number(row?.n ?? 0)
  }

  /** Some of a tenant's, or of one user of it; an empty list when none is left. */
  async deleteSome(tenant: string | undefined, user?: string): Promise<readonly Gone[]> {
    const rows = await this.#database.query(
      `DELETE FROM millrace_sessions WHERE instance = $1 AND tenant = $2 AND id IN (
         SELECT id FROM millrace_sessions WHERE instance = $1 AND tenant = $2 AND ($3::text IS NULL OR owner = $3)
         ORDER BY id LIMIT ${deleteAtOnce})
       RETURNING id, stamp::text AS stamp`,
      [this.#instance, room(tenant), user === undefined ? null : keyPart(user)],
    )
    return rows.map((row) => ({ id: String(row.id), stamp: Number(row.stamp) }))
  }

  #key({ tenant, id }: Place): [string, string, string] {
    return [this.#instance, room(tenant), keyPart(id)]
  }
}

function ownerOf({ user }: Session): string | null {
  return user === undefined ? null : keyPart(user)
}
