import type { Publish, Services } from '../define/services.ts'
import type { Limiter } from '../limits/limiter.ts'
import type { Check } from '../observe/check.ts'
import type { Organizations } from '../tenants/organizations.ts'
import { secretsOf } from '../tenants/secrets.ts'
import type { CacheServices } from './cache.ts'
import type { Run } from './life.ts'
import { type SessionsOptions, startSessions } from './sessions.ts'

/** What handlers use beside the queue: for each tenant its own. */
export type ServicesOf = (tenant: string | undefined) => Services

export type StartedServices = { readonly of: ServicesOf; readonly checks: () => readonly Check[] }

/** Opens what the services need, in the order in which they need each other. */
export async function startServices(
  run: Run,
  {
    organizations,
    limiter,
    publish,
    cache,
    breakers,
    ...options
  }: SessionsOptions &
    CacheServices & {
      readonly organizations: Organizations
      readonly limiter: Limiter
      readonly publish: (tenant: string | undefined) => Publish
    },
): Promise<StartedServices> {
  const { env } = options.config
  const { sessions, check } = await startSessions(run, options)
  return {
    of: (tenant) => ({
      cache: cache.of(tenant),
      sessions: sessions.of(tenant),
      limits: limiter.of(tenant),
      publish: publish(tenant),
      breakers,
      secrets: secretsOf(organizations, env, tenant),
    }),
    checks: () => [check()],
  }
}
