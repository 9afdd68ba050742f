import express, { type Request, Router } from 'express'
import { z } from 'zod'
import { parseDuration } from '../define/duration.ts'
import type { AnyQueue } from '../define/queue.ts'
import { MillraceError } from '../errors.ts'
import type { BullQueue } from '../jobs/bull.ts'
import type { Desk } from '../jobs/desk.ts'
import { explainJob } from '../jobs/explain.ts'
import { busyKeys } from '../jobs/gate/view.ts'
import { type Gatekeeper, requireRole, tenantOf } from './auth.ts'
import { parse } from './parse.ts'

/** On one page; those with most jobs waiting come first. */
const mostKeys = 100

const duration = z.string().transform((text, context) => {
  const ms = parseDuration(text)
  if (ms !== undefined && ms >= 1) return ms
  context.issues.push({ code: 'custom', message: "write a duration such as '1s' or '10m'", input: text })
  return z.NEVER
})
const rate = z.strictObject({ max: z.number().int().min(1).max(10_000), per: duration })
const terms = z.strictObject({
  weight: z.number().min(0.01).max(100).default(1),
  concurrency: z.number().int().min(1).optional(),
  rate: rate.optional(),
})
const keyBody = z.strictObject({ key: z.string(), tenant: z.string().default('') })

/** Why a job waits, and what can be changed about a queue while it runs: limits, tenants' shares, stuck keys. */
export function queueRoutes({
  queues,
  bull,
  desk,
  gatekeeper,
}: {
  queues: readonly AnyQueue[]
  bull: ReadonlyMap<string, BullQueue>
  desk: Desk
  gatekeeper: Gatekeeper
}): Router {
  const router = Router()
  const json = express.json({ type: () => true, limit: '10kb' })

  router.get('/queues/:queue/jobs/:id/explain', async (request, response) => {
    const tenant = tenantOf(gatekeeper.require(request))
    response.json(await explainJob(of(request).bull, String(request.params.id), tenant))
  })

  router.get('/queues/:queue/keys', async (request, response) => {
    everyTenant(request)
    response.json({ keys: await busyKeys(of(request).bull, mostKeys) })
  })

  router.post('/queues/:queue/keys/free', json, async (request, response) => {
    const by = everyTenant(request, 'operator')
    const lane = parse(keyBody, request.body)
    response.json({ ...lane, job: await desk.freeKey(String(request.params.queue), lane, by) })
  })

  router
    .route('/queues/:queue/limit')
    .put(json, async (request, response) => {
      const by = everyTenant(request, 'operator')
      const { max, per } = parse(rate, request.body)
      await desk.limit(of(request).queue, { max, perMs: per }, by)
      response.json({ max, perMs: per })
    })
    .delete(async (request, response) => {
      const by = everyTenant(request, 'operator')
      await desk.limit(of(request).queue, undefined, by)
      response.status(204).end()
    })

  router
    .route('/queues/:queue/tenants/:tenant')
    .put(json, async (request, response) => {
      const by = everyTenant(request, 'operator')
      const { weight, concurrency, rate: given } = parse(terms, request.body)
      const own = { weight, concurrency, rate: given && { max: given.max, perMs: given.per } }
      await desk.tenant(of(request).queue, String(request.params.tenant), own, by)
      response.json(own)
    })
    .delete(async (request, response) => {
      const by = everyTenant(request, 'operator')
      await desk.tenant(of(request).queue, String(request.params.tenant), undefined, by)
      response.status(204).end()
    })

  return router

  function of(request: Request): { bull: BullQueue; queue: AnyQueue } {
    const name = String(request.params.queue)
    const [at, queue] = [bull.get(name), queues.find((candidate) => candidate.name === name)]
    if (!at || !queue)
      throw new MillraceError('unknown-queue', `there is no queue ${JSON.stringify(name.slice(0, 100))}`)
    return { bull: at, queue }
  }

  /** These are about all tenants, so a key of one may neither see nor change them. Who it is. */
  function everyTenant(request: Request, role: 'viewer' | 'operator' = 'viewer'): string {
    const caller = gatekeeper.require(request)
    requireRole(caller, role)
    if (tenantOf(caller) !== undefined) throw new MillraceError('not-found')
    return caller.name
  }
}
