import type { Query } from './database.ts'

/*
 * Each is applied once, in this order, and never changed afterwards: the next one changes what it made. While a deployment
 * rolls, the code before it works on the tables after it, so a migration adds, and takes away only what nobody uses any more.
 */
const migrations: readonly { readonly name: string; readonly sql: readonly string[] }[] = [
  {
    name: 'sessions',
    sql: [
      // Of all sessions together and never given twice: which of two states of a session is newer can be seen even when it was deleted in between.
      'CREATE SEQUENCE millrace_session_stamps',
      `CREATE TABLE millrace_sessions (
        instance text NOT NULL,
        tenant text NOT NULL,
        id text NOT NULL,
        owner text,
        stamp bigint NOT NULL DEFAULT nextval('millrace_session_stamps'),
        state text NOT NULL,
        active_at timestamptz NOT NULL,
        PRIMARY KEY (instance, tenant, id)
      )`,
      'CREATE INDEX millrace_sessions_owner ON millrace_sessions (instance, tenant, owner) WHERE owner IS NOT NULL',
    ],
  },
]

/** What this code needs; the process of the embedded database may be of older code. */
export const schemaVersion = migrations.length

/** Any number that nobody else uses for a lock in this database: "millrace", as bytes, of which 63 bits fit. */
const lock = '7883955103373714277'

/**
 * Brings the tables up to date. `query` must be inside a transaction: several processes may start at once, and all but one
 * wait here, and find it done.
 */
export async function migrate(query: Query): Promise<void> {
  await query(`SELECT pg_advisory_xact_lock(${lock})`)
  await query(
    'CREATE TABLE IF NOT EXISTS millrace_migrations (id int PRIMARY KEY, name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())',
  )
  const applied = await query('SELECT max(id) AS last FROM millrace_migrations')
  const last = Number(applied[0]?.last ?? 0)
  for (const [index, { name, sql }] of migrations.entries()) {
    if (index + 1 <= last) continue
    for (const statement of sql) await query(statement)
    await query('INSERT INTO millrace_migrations (id, name) VALUES ($1, $2)', [index + 1, name])
  }
}
