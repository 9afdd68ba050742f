import type { NextFunction, Request, Response } from 'express'
import type { LimitRule } from '../define/services.ts'
import { MillraceError } from '../errors.ts'
import { type LimitOf, limitHeaders, secondsOf, type TakeLimit } from '../policy/limits.ts'
import { type Gatekeeper, keyId } from './auth.ts'

/** Express middleware: counts a request against its key's rate. Throws `over-quota`. Without a rule all pass. */
export function apiLimit(gatekeeper: Gatekeeper, take: TakeLimit, rule: LimitRule | undefined) {
  return async (request: Request, response: Response, next: NextFunction): Promise<void> => {
    if (!rule) return next()
    const caller = gatekeeper.require(request)
    const taken = await take({ scope: 'api', tenant: caller.tenant, name: keyId(caller) }, rule)
    const headers = limitHeaders('api', rule, taken)
    if (!taken.ok)
      throw new MillraceError('over-quota', `the key '${caller.name}' has its ${rule.max} requests in ${rule.per}`, {
        retryAfter: secondsOf(taken.retryAfterMs),
        headers,
      })
    response.set(headers)
    next()
  }
}

/** Wrong keys from one address. Keys are long; this keeps a script from filling the log. */
const attempts: LimitRule = { max: 10, per: '1m' }

export type CountSignIn = (address: string) => Promise<{ succeeded(): Promise<void> }>

/** Counts a try to sign in before its key is looked at: many at once are no way round. Throws `too-many-attempts`. */
export function signInLimit(limiter: Counting): CountSignIn {
  return async (address) => {
    const what = { scope: 'sign-in', tenant: undefined, name: address || 'unknown' } as const
    const taken = await limiter.take(what, attempts)
    if (taken.ok) return { succeeded: () => limiter.forget(what, attempts) }
    throw new MillraceError('too-many-attempts', undefined, {
      retryAfter: secondsOf(taken.retryAfterMs),
      headers: limitHeaders('sign-in', attempts, taken),
    })
  }
}

type Counting = { readonly take: TakeLimit; forget(what: LimitOf, rule: LimitRule): Promise<void> }
