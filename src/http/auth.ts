import type { NextFunction, Request, Response } from 'express'
import { type ApiKeyConfig, type ApiRole, hashKey } from '../config.ts'
import { MillraceError } from '../errors.ts'

declare module 'express-session' {
  interface SessionData {
    /** sha256 of the key that was used to sign in. Only the hash, so that a read of the store gives no access. */
    keyHash: string
  }
}

const ranks: Readonly<Record<ApiRole, number>> = { viewer: 0, operator: 1, admin: 2 }

/** Who asks. `tenant` is `*` for everything. */
export type Caller = Pick<ApiKeyConfig, 'name' | 'role' | 'tenant'>

/** Finds the caller of a request by its bearer key or its session. */
export class Gatekeeper {
  readonly #keys: ReadonlyMap<string, ApiKeyConfig>

  constructor(keys: readonly ApiKeyConfig[]) {
    // Looked up by hash: how long that takes tells nothing about how much of a guessed key is right.
    this.#keys = new Map(keys.map((key) => [key.hash, key]))
  }

  byKey(key: string): ApiKeyConfig | undefined {
    return this.#keys.get(hashKey(key))
  }

  caller(request: Request): Caller | undefined {
    const { authorization } = request.headers
    if (authorization !== undefined) {
      // No falling back to the session: a request that says it has a key is exempt from the same-origin check.
      const bearer = /^Bearer +(\S+) *$/i.exec(authorization)?.[1]
      return bearer === undefined ? undefined : this.byKey(bearer)
    }
    const hash = request.session?.keyHash
    // Asked anew each time, so that taking a key away ends its sessions.
    return hash === undefined ? undefined : this.#keys.get(hash)
  }

  /** Express middleware: lets callers of at least this role pass. Throws `unauthorized`, `forbidden`. */
  atLeast(role: ApiRole) {
    return (request: Request, _response: Response, next: NextFunction): void => {
      requireRole(this.require(request), role)
      next()
    }
  }

  require(request: Request): Caller {
    const caller = this.caller(request)
    if (!caller) throw new MillraceError('unauthorized')
    return caller
  }
}

export function requireRole(caller: Caller, role: ApiRole): void {
  if (ranks[caller.role] < ranks[role])
    throw new MillraceError('forbidden', `this needs the role ${role}; '${caller.name}' is ${caller.role}`)
}

/**
 * Bull Board's routes: reading for viewers, what gets jobs going or holds them for operators, everything else for admins.
 * What is allowed is listed, not what is forbidden: a route that a new version adds, or a spelling that Express takes for
 * the same route, needs an admin.
 */
const operatorRoutes = [
  /^\/api\/queues\/(?:pause|resume)$/,
  /^\/api\/queues\/[^/]+\/(?:pause|resume|promote)$/,
  /^\/api\/queues\/[^/]+\/retry\/[a-z-]+$/,
  /^\/api\/queues\/[^/]+\/[^/]+\/(?:retry|promote)$/,
]

export function boardRole(method: string, path: string): ApiRole {
  if (method === 'GET' || method === 'HEAD') return 'viewer'
  return method === 'PUT' && operatorRoutes.some((route) => route.test(path)) ? 'operator' : 'admin'
}
