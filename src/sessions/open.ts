import type { Config, StoreAddress } from '../config.ts'
import type { Check } from '../observe/check.ts'
import type { Logger } from '../observe/log.ts'
import { connect, disconnect } from '../redis/store.ts'
import { watched } from './database.ts'
import { Embedded } from './embedded.ts'
import { hotTimeoutMs } from './hot.ts'
import { Postgres } from './postgres.ts'
import { createSessionStore, type SessionStore } from './sessions.ts'

export type OpenOptions = {
  readonly config: Config
  /** Where the cache store is. */
  readonly cacheStore: StoreAddress
  readonly log: Logger
  /** The compiled process of the embedded database, where it is not beside the running code. */
  readonly databaseEntry?: string | undefined
  /** Told about each error of the connection to the cache store. */
  readonly onError?: (error: Error) => void
}

export type OpenSessions = {
  readonly sessions: SessionStore
  /** How the database is. */
  readonly check: () => Check
  /** `deadline` in milliseconds since the epoch. */
  stop(deadline?: number): Promise<void>
}

/** Conversations, with the database and the connection that they need. Waits for neither. */
export function openSessions({ config, cacheStore, log, databaseEntry: entry, onError }: OpenOptions): OpenSessions {
  const { databaseUrl: url, dataDir, keyPrefix: prefix, sessionTtlMs: ttlMs } = config
  const { database, check } = watched(url === undefined ? new Embedded({ dataDir, entry }) : new Postgres({ url, log }))
  // Of its own, because it gives up sooner than others.
  const redis = connect(cacheStore, 'producer', {
    timeoutMs: hotTimeoutMs,
    connectTimeoutMs: config.connectTimeoutMs,
    ...(onError ? { onError } : {}),
  })
  // One that is configured is asked at once: its tables are made, and who mistyped the address learns it before the first job does.
  if (url !== undefined)
    void database.query('SELECT 1').catch((error) => log.warn({ err: error }, 'DATABASE_URL: sessions cannot be kept'))
  return {
    sessions: createSessionStore({ database, redis, prefix, ttlMs, log }),
    check,
    stop: async (deadline) => {
      await disconnect(redis)
      await database.stop(deadline)
    },
  }
}
