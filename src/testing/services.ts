import type { Services, Session } from '../define/services.ts'
import { type FakeCall, fakeBreakers } from './services/breakers.ts'
import { type Cached, CacheShelf, cacheOf } from './services/cache.ts'
import { type FakeTake, fakeLimits } from './services/limits.ts'
import { SessionShelf, sessionsOf } from './services/sessions.ts'

export type Published = {
  readonly tenant: string | undefined
  readonly topic: string
  readonly data: unknown
  readonly at: number
}

/** The services of all tenants in memory, and what has been done with them. Give the same to several runs and they share it. */
export type FakeServices = {
  /** What a handler of this tenant finds in its context. */
  of(tenant: string | undefined): Services
  readonly published: readonly Published[]
  /** What is cached and has not expired. */
  readonly cached: readonly Cached[]
  readonly sessions: readonly Session[]
  /** What was counted against limits, in order. */
  readonly taken: readonly FakeTake[]
  /** What went through a breaker, in order. */
  readonly calls: readonly FakeCall[]
}

export type FakeServicesOptions = {
  /** Milliseconds. What expires, opens and is let through again does so by this clock. Default: the real one. */
  now?: () => number
  /** Tenant → name → secret, as ORGANIZATIONS would lead to. Default: none. */
  secrets?: Readonly<Record<string, Readonly<Record<string, string>>>>
  /** Instead of ours, for every tenant. */
  replace?: Partial<Services>
}

/**
 * Cache, sessions, limits, publish, breakers and secrets as handlers find them, in this process's memory. They keep what the types promise a
 * single process: tenants never meet, times run by `now`, what is stored goes through JSON. What takes several processes or a store that
 * goes away is not played: that takes a running App.
 */
export function fakeServices({ now = Date.now, secrets = {}, replace = {} }: FakeServicesOptions = {}): FakeServices {
  const published: Published[] = []
  const taken: FakeTake[] = []
  const calls: FakeCall[] = []
  const cache = new CacheShelf(now)
  const sessions = new SessionShelf(now)
  const limits = fakeLimits(now, taken)
  const breakers = fakeBreakers(now, calls)
  return {
    of: (tenant) => ({
      cache: cacheOf(cache, tenant),
      sessions: sessionsOf(sessions, tenant),
      limits: { take: async (name, rule) => limits(tenant, name, rule) },
      publish: async (topic, data) => {
        published.push({ tenant, topic, data: copy(data), at: now() })
      },
      secrets: { get: async (name) => (tenant === undefined ? undefined : secrets[tenant]?.[name]) },
      breakers: breakers(tenant),
      ...replace,
    }),
    published,
    taken,
    calls,
    get cached() {
      return cache.all()
    },
    get sessions() {
      return sessions.all()
    },
  }
}

/** The whole kit, or some services of the test's own in the place of those in a new one. */
export function kitOf(given: FakeServices | Partial<Services> | undefined): FakeServices {
  return isKit(given) ? given : fakeServices(given ? { replace: given } : {})
}

function isKit(given: FakeServices | Partial<Services> | undefined): given is FakeServices {
  return typeof (given as FakeServices | undefined)?.of === 'function'
}

/** As it comes out of a store, so that nobody's later changes show. */
function copy(value: unknown): unknown {
  const json = JSON.stringify(value)
  return json === undefined ? undefined : JSON.parse(json)
}
