import express, { Router } from 'express'
import type { Redis } from 'ioredis'
import { z } from 'zod'
import { MillraceError } from '../errors.ts'
import type { Deliver } from '../ingest/deliver.ts'
import { isReplay, isReplayable, replay, replayMark } from '../ingest/replay.ts'
import type { BullQueue } from '../jobs/bull.ts'
import { findEvents, type InboxEvent, type InboxFilter, outcomesOf } from '../jobs/inbox-find.ts'
import { type Caller, type Gatekeeper, oneTenant, requireRole, tenantOf } from './auth.ts'
import { eventPage, inboxPage, type Shown } from './inbox-pages.ts'
import { parse } from './parse.ts'

/** More in one request would hold it open past its deadline. */
const maxReplay = 1_000

const time = z.coerce.date().transform((date) => date.getTime())
const filterFields = {
  event: z.string().optional(),
  source: z.string().optional(),
  type: z.string().optional(),
  tenant: z.string().optional(),
  queue: z.string().optional(),
  since: time.optional(),
  until: time.optional(),
}
const listQuery = z.strictObject({
  ...filterFields,
  limit: z.coerce.number().int().min(1).max(100).default(20),
  cursor: z
    .string()
    .regex(/^\d+-\d+\.\d+$/)
    .optional(),
})
const perPage = 50
/** A form sends its empty fields too. */
const given = z
  .string()
  .transform((text) => text.trim() || undefined)
  .optional()
const pageQuery = z.object({
  event: given,
  source: given,
  type: given,
  tenant: given,
  queue: given,
  cursor: listQuery.shape.cursor,
})
const replayBody = z.strictObject({
  filter: z.strictObject(filterFields),
  dryRun: z.boolean().default(true),
  /** The same events with the same mark are replayed once. */
  mark: z
    .string()
    .regex(/^[\w-]{1,32}$/)
    .optional(),
})

/** /api/inbox and /api/replay. */
export function inboxRoutes({
  redis,
  key,
  bull,
  deliver,
  gatekeeper,
}: {
  redis: Redis
  /** Of the inbox stream. */
  key: string
  bull: ReadonlyMap<string, BullQueue>
  deliver: Deliver
  gatekeeper: Gatekeeper
}): Router {
  const router = Router()

  router.get('/inbox', gatekeeper.atLeast('viewer'), async (request, response) => {
    const { limit, cursor, ...filter } = parse(listQuery, request.query)
    const tenant = oneTenant(gatekeeper.require(request), filter.tenant)
    const events: unknown[] = []
    let next: string | null = null
    for await (const event of findEvents(redis, key, { ...filter, tenant }, cursor)) {
      if (events.length === limit) break
      events.push({ ...shown(event), outcomes: await outcomesOf(bull, event) })
      next = event.at
    }
    response.json({ events, next: events.length < limit ? null : next })
  })

  router.get('/inbox/:event', gatekeeper.atLeast('viewer'), async (request, response) => {
    const id = String(request.params.event)
    const tenant = tenantOf(gatekeeper.require(request))
    const filter: InboxFilter = {
      ...parse(z.strictObject(filterFields), request.query),
      event: id,
      tenant,
    }
    for await (const event of findEvents(redis, key, filter)) {
      response.json({
        ...shown(event),
        outcomes: await outcomesOf(bull, event),
        payload: event.data === null ? null : JSON.parse(event.data),
        raw: event.raw?.toString('base64') ?? null,
      })
      return
    }
    throw new MillraceError('unknown-event', `there is no event ${JSON.stringify(id.slice(0, 100))}`)
  })

  router.post('/replay', express.json(), async (request, response) => {
    const caller = gatekeeper.require(request)
    requireRole(caller, 'operator')
    const { filter, dryRun, mark } = parse(replayBody, request.body)
    const now = Date.now()
    const events: InboxEvent[] = []
    // What is stored from now on are replays, of which there shall be no end.
    const wanted = { ...filter, tenant: oneTenant(caller, filter.tenant), until: Math.min(filter.until ?? now, now) }
    for await (const event of findEvents(redis, key, wanted)) {
      if (isReplay(event) && filter.event === undefined) continue
      if (events.length === maxReplay)
        throw new MillraceError(
          'bad-request',
          `more than ${maxReplay} events; narrow the filter, or use the command line`,
        )
      events.push(event)
    }
    // In the order in which they came.
    events.reverse()
    const able = events.filter(isReplayable)
    const name = mark ?? replayMark(now)
    let replayed = 0
    try {
      if (!dryRun)
        for (const event of able) {
          const { duplicate } = await replay(deliver, event, name, now)
          if (!duplicate) replayed += 1
        }
    } catch (error) {
      if (!(error instanceof MillraceError)) throw error
      throw new MillraceError(error.code, `${error.message}; go on with "mark": "${name}", which repeats none`, {
        cause: error,
        retryAfter: error.retryAfter ?? 2,
      })
    }
    response.json({ dryRun, mark: name, replayed, events: events.map(shown) })
  })

  return router
}

/** /dashboard/inbox: for people who have signed in. */
export function inboxPages({
  redis,
  key,
  bull,
}: {
  redis: Redis
  key: string
  bull: ReadonlyMap<string, BullQueue>
}): Router {
  const router = Router()

  router.get('/', async (request, response) => {
    const { cursor, ...query } = parse(pageQuery, request.query)
    const found: Shown[] = []
    let next: string | undefined
    for await (const event of findEvents(redis, key, query, cursor)) {
      if (found.length === perPage) {
        next = found.at(-1)?.event.at
        break
      }
      found.push({ event, outcomes: await outcomesOf(bull, event) })
    }
    response.send(inboxPage({ found, query, next, caller: response.locals.caller as Caller }))
  })

  router.get('/:event', async (request, response) => {
    const id = String(request.params.event)
    for await (const event of findEvents(redis, key, { event: id })) {
      const outcomes = await outcomesOf(bull, event)
      response.send(eventPage({ event, outcomes }, response.locals.caller as Caller))
      return
    }
    throw new MillraceError('unknown-event', `there is no event ${JSON.stringify(id.slice(0, 100))}`)
  })

  return router
}

/** Without what is large. Named one by one, because copying the event would decode its payload. */
function shown({
  at,
  event,
  source,
  sourceType,
  type,
  tenant,
  receivedAt,
  storedAt,
  isReadable,
  queues,
  contentType,
}: InboxEvent) {
  return { at, event, source, sourceType, type, tenant, receivedAt, storedAt, isReadable, queues, contentType }
}
