import { setTimeout as pause } from 'node:timers/promises'
import { createLogger } from '../../src/observe/log.ts'
import { connect, disconnect, untilReady } from '../../src/redis/store.ts'
import type { Database } from '../../src/sessions/database.ts'
import { Embedded } from '../../src/sessions/embedded.ts'
import { hotTimeoutMs } from '../../src/sessions/hot.ts'
import { Postgres } from '../../src/sessions/postgres.ts'
import { createSessionStore, type SessionStore } from '../../src/sessions/sessions.ts'
import { built } from '../harness/process.ts'

export type Where = { readonly redis: string; readonly prefix: string } & (
  | { readonly url: string }
  | { readonly dataDir: string }
)

export type Rig = SessionStore & { readonly database: Database; close(): Promise<void> }

/** Sessions as a process has them: a connection and a database of its own. */
export async function openSessions(
  where: Where,
  { timeoutMs = hotTimeoutMs, ...options }: { now?: () => number; ttlMs?: number; timeoutMs?: number } = {},
): Promise<Rig> {
  const redis = connect({ host: '', port: 0, db: 0, path: where.redis }, 'producer', { timeoutMs })
  const log = createLogger({ logLevel: 'silent', logFormat: 'json' })
  const database =
    'url' in where
      ? new Postgres({ url: where.url, log })
      : new Embedded({ dataDir: where.dataDir, entry: built('sessions/embedded-process.js') })
  const store = createSessionStore({ database, redis, prefix: where.prefix, ttlMs: 86_400_000, log, ...options })
  await Promise.race([untilReady(redis), pause(1_000)])
  return {
    ...store,
    database,
    close: async () => {
      await disconnect(redis)
      await database.stop()
    },
  }
}
