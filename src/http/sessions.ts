import { createHash } from 'node:crypto'
import { RedisStore } from 'connect-redis'
import type { RequestHandler } from 'express'
import session from 'express-session'
import type { Redis } from 'ioredis'
import type { ApiKeyConfig } from '../config.ts'
import { keys } from '../redis/keys.ts'

/** A working day; each request starts it anew. */
const lifetimeMs = 12 * 3_600_000

/** Longest wait for the cache store, for the connection's `timeoutMs`: a person who waits longer reloads the page. */
export const sessionTimeoutMs = 1_000

/** Browser sessions, kept in the cache store: losing one costs a sign-in. With the store away pages say so, all but the form. */
export function createSessions(redis: Redis, prefix: string, apiKeys: readonly ApiKeyConfig[]): RequestHandler {
  const middleware = session({
    name: 'millrace',
    store: new RedisStore({ client: redis, prefix: keys.session(prefix), ttl: lifetimeMs / 1_000 }),
    // Sign a random id that is worthless without the store. One for each key, all of which are accepted: a key that is
    // added or taken away signs nobody else out.
    secret: apiKeys.map((key) => createHash('sha256').update(`session:${key.hash}`).digest('hex')),
    resave: false,
    saveUninitialized: false,
    rolling: true,
    cookie: { httpOnly: true, sameSite: 'lax', secure: 'auto', maxAge: lifetimeMs },
  })
  return (request, response, next) => {
    const isForm = request.method === 'GET' && request.baseUrl + request.path === '/dashboard/sign-in'
    middleware(request, response, (error?: unknown) => (error === undefined || isForm ? next() : next(error)))
  }
}
