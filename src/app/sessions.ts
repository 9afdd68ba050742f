import type { Check } from '../observe/check.ts'
import { type OpenOptions, openSessions } from '../sessions/open.ts'
import type { SessionStore } from '../sessions/sessions.ts'
import { logConnection } from './connections.ts'
import type { Run } from './life.ts'

export type SessionsOptions = OpenOptions

/** Conversations, and how their database is. */
export async function startSessions(
  run: Run,
  options: SessionsOptions,
): Promise<{ sessions: SessionStore; check: () => Check }> {
  const onError = logConnection(options.log, 'sessions')
  const { sessions, check, stop } = openSessions({ ...options, onError })
  await run({ name: 'sessions', stop })
  return { sessions, check }
}
