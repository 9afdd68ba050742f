import express, { type Request, Router } from 'express'
import { z } from 'zod'
import { MillraceError } from '../errors.ts'
import { type DeadJob, findDead, Looked } from '../jobs/dead.ts'
import type { Desk } from '../jobs/desk.ts'
import type { Owner } from '../jobs/redrive.ts'
import { defaultRate, mostPerSecond, parseRate } from '../policy/rate.ts'
import { type Caller, type Gatekeeper, oneTenant, requireRole, tenantOf } from './auth.ts'
import { parse } from './parse.ts'

/** More in one answer would be no page but an export. */
const mostListed = 100
/** A search that finds little must come to an end all the same. */
const mostLooked = 5_000

const time = z.coerce.date().transform((date) => date.getTime())
const filterFields = {
  text: z.string().min(1).optional(),
  name: z.string().optional(),
  tenant: z.string().optional(),
  since: time.optional(),
  until: time.optional(),
}
const group = z.string().regex(/^[0-9a-f]{12}$/, 'a group is 12 hexadecimal digits')
const listQuery = z.strictObject({ ...filterFields, limit: z.coerce.number().int().min(1).max(mostListed).default(20) })
const rate = z.string().transform((text, context) => {
  const perSecond = parseRate(text)
  if (perSecond !== undefined && perSecond <= mostPerSecond) return perSecond
  context.addIssue({ code: 'custom', message: `write a rate such as 50/s or 10/m, at most ${mostPerSecond}/s` })
  return z.NEVER
})
const previewBody = z.strictObject({
  queue: z.string(),
  filter: z
    .strictObject({ ...filterFields, group: group.optional(), ids: z.array(z.string()).max(10_000).optional() })
    .default({}),
  rate: rate.optional(),
  dryRun: z.literal(true, 'first ask with dryRun true; then send the token that it gives').default(true),
})
const runBody = z.strictObject({ token: z.string(), dryRun: z.literal(false).optional() })

/** Who may use a redrive's token. */
export function ownerOf(caller: Caller): Owner {
  return { name: caller.name, key: caller.hash }
}

/** Dead letters by cause, and /api/redrive. */
export function deadRoutes({ desk, gatekeeper }: { desk: Desk; gatekeeper: Gatekeeper }): Router {
  const router = Router()
  const operator = (request: Request): Caller => {
    const caller = gatekeeper.require(request)
    requireRole(caller, 'operator')
    return caller
  }

  router.get('/queues/:queue/dead', async (request, response) => {
    response.json(await desk.dead(String(request.params.queue), tenantOf(gatekeeper.require(request))))
  })

  router.get('/queues/:queue/dead/:group', async (request, response) => {
    const queue = desk.queue(String(request.params.queue))
    const { limit, ...filter } = parse(listQuery, request.query)
    const tenant = oneTenant(gatekeeper.require(request), filter.tenant)
    const jobs: DeadJob[] = []
    const progress = new Looked()
    for await (const job of findDead(
      queue,
      { ...filter, group: parse(group, request.params.group), tenant },
      progress,
    )) {
      jobs.push(job)
      if (jobs.length === limit || progress.read >= mostLooked) break
    }
    response.json({
      queue: queue.name,
      looked: progress.looked,
      jobs: jobs.map(({ diedAt, ...job }) => ({ ...job, diedAt: new Date(diedAt).toISOString() })),
    })
  })

  router.post('/redrive', express.json({ limit: '1mb', type: () => true }), async (request, response) => {
    const caller = operator(request)
    const owner = ownerOf(caller)
    const body = (request.body ?? {}) as { token?: unknown; dryRun?: unknown }
    if (body.token !== undefined) return void response.json(await desk.redrive(parse(runBody, body).token, owner))
    const { queue, filter, rate: asked = defaultRate } = parse(previewBody, body)
    if (tenantOf(caller) !== undefined && filter.tenant !== undefined && filter.tenant !== caller.tenant)
      throw new MillraceError('forbidden', `the key is of tenant ${caller.tenant}`)
    const mine = { ...filter, tenant: tenantOf(caller) ?? filter.tenant }
    response.json(await desk.preview(queue, mine, { owner, ratePerSecond: asked }))
  })

  router
    .route('/redrive/:token')
    .get(async (request, response) => {
      const caller = gatekeeper.require(request)
      // Whoever sees all queues may look on; only the owner may start it.
      const owner = tenantOf(caller) === undefined ? undefined : ownerOf(caller)
      response.json(await desk.progress(String(request.params.token), owner))
    })
    .delete(async (request, response) => {
      response.json(await desk.stopRedrive(String(request.params.token), ownerOf(operator(request))))
    })

  return router
}
