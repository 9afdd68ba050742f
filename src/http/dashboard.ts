import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { ExpressAdapter } from '@bull-board/express'
import express, { type Application, type Request, type Response, Router } from 'express'
import { MillraceError } from '../errors.ts'
import type { BullQueue } from '../jobs/bull.ts'
import { decodeOrStored } from '../jobs/codec.ts'
import type { Desk } from '../jobs/desk.ts'
import { summarizeQueue } from '../jobs/inspect.ts'
import { listSchedules } from '../jobs/schedules.ts'
import type { Check } from '../observe/check.ts'
import { boardRole, type Caller, type Gatekeeper, keyId, requireRole } from './auth.ts'
import { overviewPage, signInPage } from './dashboard-pages.ts'
import { deadPages } from './dead-pages.ts'
import type { CountSignIn } from './limit.ts'
import { whyPages } from './why-pages.ts'

/** /dashboard: sign-in, overview, and Bull Board under /dashboard/queues. */
export function dashboardRoutes({
  bull,
  gatekeeper,
  checks,
  desk,
  countSignIn,
  inbox,
}: {
  bull: ReadonlyMap<string, BullQueue>
  gatekeeper: Gatekeeper
  checks: () => readonly Check[]
  desk: Desk
  countSignIn: CountSignIn
  /** Pages of the inbox; undefined when it is off. */
  inbox: Router | undefined
}): Router {
  const router = Router()

  router.get('/sign-in', (request, response) => {
    const to = localPath(request.query.to)
    if (gatekeeper.caller(request)) return void response.redirect(303, to)
    response.set('Cache-Control', 'no-store').send(signInPage({ to }))
  })

  router.post('/sign-in', express.urlencoded({ extended: false, limit: '4kb' }), async (request, response) => {
    const { key, to } = (request.body ?? {}) as { key?: unknown; to?: unknown }
    const attempt = await countSignIn(request.ip ?? '')
    const found = typeof key === 'string' ? gatekeeper.byKey(key.trim()) : undefined
    if (!found)
      return void response
        .status(401)
        .set('Cache-Control', 'no-store')
        .send(signInPage({ to: localPath(to), wrong: true }))
    await attempt.succeeded()
    // A new session id, so that one that was planted before signing in is worth nothing after it.
    await new Promise<void>((resolve, reject) =>
      request.session.regenerate((error) => (error ? reject(storeError(error)) : resolve())),
    )
    request.session.keyId = keyId(found)
    await new Promise<void>((resolve, reject) =>
      request.session.save((error) => (error ? reject(storeError(error)) : resolve())),
    )
    response.redirect(303, localPath(to))
  })

  router.post('/sign-out', (request, response, next) => {
    request.session.destroy((error) => (error ? next(storeError(error)) : response.redirect(303, '/dashboard/sign-in')))
  })

  router.use((request, response, next) => {
    const caller = gatekeeper.caller(request)
    if (!caller) return askToSignIn(request, response)
    // Bull Board shows whole queues; a key of one tenant must not see the others' jobs.
    if (caller.tenant !== '*')
      throw new MillraceError('forbidden', 'the dashboard shows all tenants; use a key with tenant "*"')
    response.locals.caller = caller
    response.set('Cache-Control', 'no-store')
    next()
  })

  router.get('/', async (_request, response) => {
    const caller = response.locals.caller as Caller
    const found = await Promise.all(
      [...bull.values()].map(async (queue) => ({
        ...(await summarizeQueue(queue)),
        schedules: await listSchedules(queue),
      })),
    ).catch(() => undefined)
    response.send(overviewPage({ queues: found, checks: checks(), caller }))
  })

  router.use('/why', whyPages(bull))
  router.use('/dead', deadPages({ desk, queues: [...bull.keys()] }))
  if (inbox) router.use('/inbox', inbox)
  router.use('/queues', (request, response, next) => {
    requireRole(response.locals.caller as Caller, boardRole(request.method, request.path))
    next()
  })
  // Ours before the board's own, which would not say who it was.
  router.put(/^\/queues\/api\/queues(?:\/([^/]+))?\/(pause|resume)$/, async (request, response, next) => {
    const { 0: queue, 1: change } = request.params as Record<string, string | undefined>
    const { name } = response.locals.caller as Caller
    for (const one of queue === undefined ? bull.keys() : [queue])
      await (change === 'pause' ? desk.pause(one, name) : desk.resume(one, name))
    next()
  })
  router.use('/queues', board(bull))
  return router
}

function board(bull: ReadonlyMap<string, BullQueue>): Application {
  const adapter = new ExpressAdapter().setBasePath('/dashboard/queues')
  createBullBoard({
    queues: [...bull.values()].map(adapterOf),
    serverAdapter: adapter,
    options: {
      uiConfig: {
        boardTitle: 'Millrace',
        hideDocsLink: true,
        miscLinks: [{ text: 'Overview', url: '/dashboard' }],
        hideRedisDetails: true,
      },
    },
  })
  const app = adapter.getRouter() as Application & { engines: Record<string, Render> }
  app.disable('x-powered-by')
  // The page asks another company for a font. The policy would stop it; this way there is nothing to stop.
  const render = app.engines['.ejs']
  if (render)
    app.engine('ejs', (file: string, options: object, done: Done) =>
      render(file, options, (error, text) => done(error, text?.replace(/<link[^>]*https?:\/\/[^>]*>/g, ''))),
    )
  return app
}

function adapterOf(queue: BullQueue): BullMQAdapter {
  const adapter = new BullMQAdapter(queue)
  adapter.setFormatter('data', decodeOrStored)
  return adapter
}

type Done = (error: unknown, text?: string) => void
type Render = (file: string, options: object, done: Done) => void

/** People are led to the form; programs get the problem. */
function askToSignIn(request: Request, response: Response): void {
  const wantsPage =
    request.method === 'GET' && request.accepts(['html', 'json']) === 'html' && !request.path.startsWith('/queues/api/')
  if (!wantsPage) throw new MillraceError('unauthorized')
  response.redirect(303, `/dashboard/sign-in?to=${encodeURIComponent(request.originalUrl)}`)
}

/** Only a path on this server, or sign-in could be used to send people elsewhere. */
function localPath(value: unknown): string {
  return typeof value === 'string' && /^\/dashboard(?!\/sign-)(?:[/?]|$)/.test(value) && !value.includes('\\')
    ? value
    : '/dashboard'
}

function storeError(cause: unknown): MillraceError {
  return new MillraceError('store-unavailable', 'sessions cannot be stored now', { cause, retryAfter: 2 })
}
