import express, { type Request, Router } from 'express'
import { z } from 'zod'
import { MillraceError } from '../errors.ts'
import type { Desk, JobRequest } from '../jobs/desk.ts'
import { type Caller, type Gatekeeper, requireRole, tenantOf } from './auth.ts'
import { parse } from './parse.ts'

const retryQuery = z.strictObject({ again: z.enum(['true', 'false']).default('false') })
const cancelBody = z.strictObject({ reason: z.string().trim().min(1).max(500).optional() })

/** Changes of one job or one queue: parse → call → answer. */
export function jobActionRoutes({ desk, gatekeeper }: { desk: Desk; gatekeeper: Gatekeeper }): Router {
  const router = Router()
  const asked = (request: Request, role: 'operator' | 'admin'): JobRequest => {
    const caller = gatekeeper.require(request)
    requireRole(caller, role)
    const actor = { name: caller.name, tenant: tenantOf(caller) }
    return { queue: String(request.params.queue), id: String(request.params.id), actor }
  }

  router.post('/queues/:queue/jobs/:id/retry', async (request, response) => {
    const job = asked(request, 'operator')
    const { again } = parse(retryQuery, request.query)
    response.json(await desk.retry({ ...job, again: again === 'true' }))
  })

  router.post('/queues/:queue/jobs/:id/cancel', express.json({ type: () => true }), async (request, response) => {
    const job = asked(request, 'operator')
    const { reason } = parse(cancelBody, request.body ?? {})
    response.json(await desk.cancel({ ...job, reason }))
  })

  router.delete('/queues/:queue/jobs/:id', async (request, response) => {
    response.json(await desk.remove(asked(request, 'admin')))
  })

  router.post('/queues/:queue/pause', async (request, response) => {
    response.json(await desk.pause(String(request.params.queue), whole(gatekeeper.require(request)).name))
  })

  router.post('/queues/:queue/resume', async (request, response) => {
    response.json(await desk.resume(String(request.params.queue), whole(gatekeeper.require(request)).name))
  })

  return router
}

/** Who may hold back a whole queue. */
function whole(caller: Caller): Caller {
  requireRole(caller, 'operator')
  if (tenantOf(caller) !== undefined)
    throw new MillraceError('forbidden', 'a queue is every tenant’s; this needs a key with tenant "*"')
  return caller
}
