import { Router } from 'express'
import { z } from 'zod'
import { MillraceError } from '../errors.ts'
import { type Gatekeeper, oneTenant, requireRole, tenantOf } from './auth.ts'
import { parse } from './parse.ts'

export type CacheRoutes = {
  readonly gatekeeper: Gatekeeper
  /** Of a tenant, or of all. */
  readonly report: (tenant: string | undefined) => Promise<object>
  readonly breakers: {
    list(): readonly object[]
    /** In all processes; how many were told. */
    reset(name: string): Promise<{ readonly told: number }>
  }
}

const reportQuery = z.strictObject({ tenant: z.string().min(1).max(200).optional() })
const breakerName = z.string().regex(/^[\w.:-]{1,100}$/, 'the name of a breaker')

/** /api/cache and /api/breakers. */
export function cacheRoutes({ gatekeeper, report, breakers }: CacheRoutes): Router {
  const router = Router()

  router.get('/cache', async (request, response) => {
    const { tenant } = parse(reportQuery, request.query)
    response.json(await report(oneTenant(gatekeeper.require(request), tenant)))
  })

  router.get('/breakers', (request, response) => {
    whole(request)
    response.json({ breakers: breakers.list() })
  })

  router.post('/breakers/:name/reset', async (request, response) => {
    const caller = whole(request)
    requireRole(caller, 'operator')
    const name = parse(breakerName, request.params.name)
    response.json({ name, ...(await breakers.reset(name)) })
  })

  return router

  function whole(request: Parameters<Gatekeeper['require']>[0]) {
    const caller = gatekeeper.require(request)
    if (tenantOf(caller) === undefined) return caller
    throw new MillraceError('forbidden', 'breakers are every tenant’s; this needs a key with tenant "*"')
  }
}
