import type { Config, StoreAddress } from '../config.ts'
import type { Check } from '../observe/check.ts'
import type { Logger } from '../observe/log.ts'
import { connect, disconnect } from '../redis/store.ts'
import { watched } from '../sessions/database.ts'
import { Embedded } from '../sessions/embedded.ts'
import { hotTimeoutMs } from '../sessions/hot.ts'
import { Postgres } from '../sessions/postgres.ts'
import { createSessionStore, type SessionStore } from '../sessions/sessions.ts'
import { logConnection } from './connections.ts'
import type { Run } from './life.ts'

export type SessionsOptions = {
  readonly config: Config
  /** Where the cache store is. */
  readonly cacheStore: StoreAddress
  readonly log: Logger
  /** The compiled process of the embedded database, where it is not beside the running code. */
  readonly databaseEntry?: string | undefined
}

/** Conversations, and how their database is. */
export async function startSessions(
  run: Run,
  { config, cacheStore, log, databaseEntry: entry }: SessionsOptions,
): Promise<{ sessions: SessionStore; check: () => Check }> {
  const { databaseUrl: url, dataDir, keyPrefix: prefix, sessionTtlMs: ttlMs } = config
  const { database, check } = watched(url === undefined ? new Embedded({ dataDir, entry }) : new Postgres({ url, log }))
  await run({ name: 'database', stop: (deadline) => database.stop(deadline) })
  // Of its own, because it gives up sooner than others, and not waited for: sessions do without it.
  const redis = connect(cacheStore, 'producer', {
    timeoutMs: hotTimeoutMs,
    connectTimeoutMs: config.connectTimeoutMs,
    onError: logConnection(log, 'sessions'),
  })
  await run({ name: 'sessions connection', stop: () => disconnect(redis) })
  // One that is configured is asked at once: its tables are made, and who mistyped the address learns it before the first job does.
  if (url !== undefined)
    void database.query('SELECT 1').catch((error) => log.warn({ err: error }, 'DATABASE_URL: sessions cannot be kept'))
  return { sessions: createSessionStore({ database, redis, prefix, ttlMs, log }), check }
}
