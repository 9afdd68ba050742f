import { Router } from 'express'
import type { Organization } from '../config.ts'
import type { Organizations } from '../tenants/organizations.ts'
import { type Gatekeeper, requireRole, tenantOf } from './auth.ts'

/** GET /api/organizations: all of them for admins, its own for a key of one tenant. Of secrets the names only. */
export function organizationRoutes({
  organizations,
  gatekeeper,
}: {
  organizations: Organizations
  gatekeeper: Gatekeeper
}): Router {
  const router = Router()
  router.get('/organizations', (request, response) => {
    const caller = gatekeeper.require(request)
    const tenant = tenantOf(caller)
    if (tenant === undefined) requireRole(caller, 'admin')
    const seen = organizations.all().filter(({ id }) => tenant === undefined || id === tenant)
    response.json({ organizations: seen.map(describe) })
  })
  return router
}

function describe({ id, name, slackTeams, quota, secrets }: Organization) {
  return { id, name, slackTeams, quota: quota ?? null, secrets: Object.keys(secrets).sort() }
}
