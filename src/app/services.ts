import type { Services } from '../define/services.ts'
import type { Limiter } from '../limits/limiter.ts'
import type { Check } from '../observe/check.ts'
import type { Organizations } from '../tenants/organizations.ts'
import { secretsOf } from '../tenants/secrets.ts'
import type { CacheServices } from './cache.ts'
import type { Run } from './life.ts'
import { type SessionsOptions, startSessions } from './sessions.ts'

/** What handlers use beside the queue: for each tenant its own. */
export type ServicesOf = (tenant: string | undefined) => Services

/** A part that is not there says so when it is used, and not before. */
function missing(name: string): never {
  return new Proxy(
    {},
    {
      get: () => () => {
        throw new Error(`${name} is not there yet`)
      },
    },
  ) as never
}

export type StartedServices = { readonly of: ServicesOf; readonly checks: () => readonly Check[] }

/** Opens what the services need, in the order in which they need each other. */
export async function startServices(
  run: Run,
  {
    organizations,
    limiter,
    cache,
    breakers,
    ...options
  }: SessionsOptions &
    CacheServices & {
      readonly organizations: Organizations
      readonly limiter: Limiter
    },
): Promise<StartedServices> {
  const { env } = options.config
  const { sessions, check } = await startSessions(run, options)
  return {
    of: (tenant) => ({
      cache: cache.of(tenant),
      sessions: sessions.of(tenant),
      limits: limiter.of(tenant),
      publish: missing('publish'),
      breakers,
      secrets: secretsOf(organizations, env, tenant),
    }),
    checks: () => [check()],
  }
}
