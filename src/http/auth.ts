import type { NextFunction, Request, Response } from 'express'
import { type ApiKeyConfig, type ApiRole, hashKey } from '../config.ts'
import { MillraceError } from '../errors.ts'

declare module 'express-session' {
  interface SessionData {
    /** Which key was used to sign in, by a name that neither gives nor signs anything: others read the store too. */
    keyId: string
  }
}

const ranks: Readonly<Record<ApiRole, number>> = { viewer: 0, operator: 1, admin: 2 }

/** Who asks. `tenant` is `*` for everything. */
export type Caller = Readonly<ApiKeyConfig>

/** The one tenant that the caller may see; undefined for all. */
export function tenantOf({ tenant }: Caller): string | undefined {
  return tenant === '*' ? undefined : tenant
}

/** The caller's own, or the one he asks for when he may see all. Undefined for all. Throws `not-found` for another's. */
export function oneTenant(caller: Caller, asked: string | undefined): string | undefined {
  const own = tenantOf(caller)
  if (own !== undefined && asked !== undefined && asked !== own)
    throw new MillraceError('not-found', `there is no tenant ${JSON.stringify(asked.slice(0, 100))}`)
  return own ?? asked
}

/** Finds the caller of a request by its bearer key or its session. */
export class Gatekeeper {
  readonly #keys: ReadonlyMap<string, ApiKeyConfig>
  readonly #byId: ReadonlyMap<string, ApiKeyConfig>

  constructor(keys: readonly ApiKeyConfig[]) {
    // Looked up by hash: how long that takes tells nothing about how much of a guessed key is right.
    this.#keys = new Map(keys.map((key) => [key.hash, key]))
    this.#byId = new Map(keys.map((key) => [keyId(key), key]))
  }

  byKey(key: string): ApiKeyConfig | undefined {
    return this.#keys.get(hashKey(key))
  }

  caller(request: Request): Caller | undefined {
    const bearer = bearerOf(request)
    // No falling back to the session: a request with a key is exempt from the same-origin check.
    if (bearer !== undefined) return this.byKey(bearer)
    const id = request.session?.keyId
    // Asked anew each time, so that taking a key away ends its sessions.
    return id === undefined ? undefined : this.#byId.get(id)
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

/** The key of `Authorization: Bearer <key>`. Other schemes may be a proxy's, which browsers answer by themselves. */
export function bearerOf(request: Request): string | undefined {
  return /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? '')?.[1]
}

export function keyId(key: ApiKeyConfig): string {
  return hashKey(`id:${key.hash}`)
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
