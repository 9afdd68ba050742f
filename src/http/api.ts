import { isDeepStrictEqual } from 'node:util'
import express, { type Request, type RequestHandler, Router } from 'express'
import { z } from 'zod'
import { type Duration, parseDuration } from '../define/duration.ts'
import type { AnyQueue } from '../define/queue.ts'
import { validate } from '../define/schema.ts'
import type { Enqueue } from '../define/worker.ts'
import { MillraceError } from '../errors.ts'
import { mustSee } from '../jobs/actions.ts'
import type { BullQueue } from '../jobs/bull.ts'
import { decode } from '../jobs/codec.ts'
import type { Desk } from '../jobs/desk.ts'
import { describeJob, jobStates, listJobs, summarizeQueue } from '../jobs/inspect.ts'
import { listSchedules } from '../jobs/schedules.ts'
import type { Waits } from '../jobs/wait-for.ts'
import type { Organizations } from '../tenants/organizations.ts'
import { type Caller, type Gatekeeper, oneTenant, requireRole, tenantOf } from './auth.ts'
import { jobActionRoutes } from './job-actions.ts'
import { otherMethods } from './methods.ts'
import { organizationRoutes } from './organizations.ts'
import { parse } from './parse.ts'
import { queueRoutes } from './queue-routes.ts'
import { deadRoutes } from './redrive.ts'
import { askedToWait, waitWith } from './wait.ts'

/** More jobs in one request would hold it open past its deadline. */
const maxBulk = 1_000

const listQuery = z.strictObject({
  state: z
    .enum([...jobStates, 'dead'])
    .default('waiting')
    .transform((state) => (state === 'dead' ? 'failed' : state)),
  cursor: z.coerce.number().int().min(0).default(0),
  limit: z.coerce.number().int().min(1).max(100).default(20),
  tenant: z.string().optional(),
  name: z.string().optional(),
  text: z.string().optional(),
})

const time = z
  .string()
  .refine((text) => (parseDuration(text) ?? 0) >= 1, 'write a duration such as 30s or 10m')
  .transform((text) => text as Duration)
/** What else may be said of jobs that are added; `wait` has rules of its own. */
const addQuery = z.strictObject({ delay: time.optional(), expires: time.optional(), wait: z.unknown().optional() })

/** /api: for programs with a key, and for pages of the dashboard with a session. */
export function apiRoutes({
  queues,
  bull,
  enqueue,
  desk,
  waits,
  gatekeeper,
  bodyLimit,
  services,
  live,
  limit,
  inbox,
  organizations,
}: {
  queues: readonly AnyQueue[]
  bull: ReadonlyMap<string, BullQueue>
  enqueue: Enqueue
  desk: Desk
  waits: Waits
  gatekeeper: Gatekeeper
  bodyLimit: number
  /** Routes of what handlers use beside the queue. */
  services: Router
  /** Routes of live updates. */
  live: { readonly stream: Router; readonly publish: Router }
  /** Counts each request against its key's rate. */
  limit: RequestHandler
  /** Routes of the inbox; undefined when it is off. */
  inbox: Router | undefined
  organizations: Organizations
}): Router {
  const router = Router()
  const byName = new Map(queues.map((queue) => [queue.name, queue]))
  router.use((_request, response, next) => {
    response.set('Cache-Control', 'no-store')
    next()
  })
  router.use(gatekeeper.atLeast('viewer'))
  // Bounded by its own number: all who listen with one key come back at once, and a browser does so once only after a 429.
  router.use(live.stream)
  router.use(limit)

  router.get('/queues', async (request, response) => {
    const caller = gatekeeper.require(request)
    response.json({ queues: await Promise.all([...bull.values()].map((queue) => summaryFor(caller, queue))) })
  })

  router.get('/queues/:queue', async (request, response) => {
    const [caller, queue] = [gatekeeper.require(request), bullOf(request)]
    const schedules = tenantOf(caller) === undefined ? { schedules: await listSchedules(queue) } : {}
    response.json({ ...(await summaryFor(caller, queue)), ...schedules })
  })

  router
    .route('/queues/:queue/jobs')
    .get(async (request, response) => {
      const query = parse(listQuery, request.query)
      const tenant = oneTenant(gatekeeper.require(request), query.tenant)
      const { jobs, next } = await listJobs(bullOf(request), { ...query, tenant })
      response.json({ jobs, next: next === undefined ? null : String(next) })
    })
    .post(express.json({ limit: bodyLimit, strict: false, type: () => true }), async (request, response) => {
      const caller = gatekeeper.require(request)
      requireRole(caller, 'admin')
      const name = String(request.params.queue)
      const queue = byName.get(name)
      if (!queue) throw unknownQueue(name)
      const key = idempotencyKey(request)
      const tenant = tenantOf(caller)
      const { delay, expires } = parse(addQuery, request.query)
      const add = async (payload: unknown, part: string) => {
        const added = await enqueue(queue, payload, {
          ...(tenant === undefined ? {} : { tenant }),
          ...(delay === undefined ? {} : { delay }),
          ...(expires === undefined ? {} : { expires }),
          // By tenant, so that nobody can make another's jobs look like duplicates by guessing a key.
          ...(key === undefined
            ? {}
            : { dedupeKey: JSON.stringify([tenant ?? '*', key, part]), dedupeFor: '24h' as const }),
        })
        // A singleton's duplicate may be so by the queue's own key, which says nothing about this one.
        if (key !== undefined && added.duplicate && queue.dedupe?.mode !== 'singleton')
          await refuseAnother(bull.get(name), added.id, payload)
        return added
      }
      const { body } = request
      const ms = askedToWait(request)
      if (!Array.isArray(body)) {
        const added = await add(body, '')
        const end =
          ms === undefined ? {} : await waitWith(response, waits, { queue: bullOf(request), id: added.id, ms })
        response.status(201).json({ ...added, ...(end ?? { state: 'pending' }) })
        return
      }
      if (ms !== undefined) throw new MillraceError('bad-request', 'wait is for a single job, not for a list of them')
      if (body.length > maxBulk)
        throw new MillraceError('too-large', `${body.length} jobs; at most ${maxBulk} in one request`)
      // All are checked before the first is stored: half a bulk would be nobody's wish.
      for (const [i, payload] of body.entries()) await checkOne(queue, payload, i)
      response.status(201).json(await Promise.all(body.map((payload, i) => add(payload, String(i)))))
    })

  router.get('/queues/:queue/jobs/:id', async (request, response) => {
    const [queue, id, tenant] = [bullOf(request), String(request.params.id), tenantOf(gatekeeper.require(request))]
    const ms = askedToWait(request)
    if (ms !== undefined) {
      await mustSee(queue, id, { tenant })
      await waitWith(response, waits, { queue, id, ms })
    }
    response.json(await describeJob(queue, id, tenant))
  })

  router.use(jobActionRoutes({ desk, gatekeeper }))
  router.use(deadRoutes({ desk, gatekeeper }))
  router.use(queueRoutes({ queues, bull, desk, gatekeeper }))
  router.use(services)
  router.use(live.publish)
  router.use(organizationRoutes({ organizations, gatekeeper }))
  if (inbox) router.use(inbox)
  router.use(otherMethods(router))
  return router

  function bullOf(request: Request): BullQueue {
    const name = String(request.params.queue)
    const queue = bull.get(name)
    if (!queue) throw unknownQueue(name)
    return queue
  }
}

/** With the place in the list in front of each field's path. */
async function checkOne(queue: AnyQueue, payload: unknown, index: number): Promise<void> {
  try {
    await validate(queue.payload, payload, `job ${index}`)
  } catch (error) {
    if (!(error instanceof MillraceError)) throw error
    const fields = error.fields.map(({ path, message }) => ({
      path: path ? `[${index}].${path}` : `[${index}]`,
      message,
    }))
    throw new MillraceError(error.code, error.message, { fields })
  }
}

/** Counts are over all tenants, so a key of one tenant gets the name only. */
async function summaryFor(caller: Caller, queue: BullQueue) {
  return tenantOf(caller) === undefined ? summarizeQueue(queue) : { name: queue.name, paused: await queue.isPaused() }
}

/**
 * A key that comes again with another payload is a mistake of the sender's, who must not take the first job for this one:
 * draft-ietf-httpapi-idempotency-key-header has 422 for it. A job that has been removed cannot be compared any more.
 */
async function refuseAnother(bull: BullQueue | undefined, id: string, payload: unknown): Promise<void> {
  const stored = await bull?.redis.hget(bull.toKey(id), 'data')
  if (stored && !isDeepStrictEqual(decode(JSON.parse(stored)), payload))
    throw new MillraceError('idempotency-key-reused', `the key belongs to job ${id}, which has another payload`)
}

/** The draft has it as a quoted string; many clients send it bare. */
function idempotencyKey(request: Request): string | undefined {
  const given = request.headers['idempotency-key']
  if (given === undefined) return undefined
  const key = String(given).replace(/^"(.*)"$/, '$1')
  if (key === '' || key.length > 255)
    throw new MillraceError('bad-request', 'Idempotency-Key must have 1 to 255 characters')
  return key
}

function unknownQueue(name: string): MillraceError {
  return new MillraceError('unknown-queue', `there is no queue ${JSON.stringify(name.slice(0, 100))}`)
}
