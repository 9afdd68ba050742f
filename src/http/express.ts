import { randomUUID } from 'node:crypto'
import express, { type ErrorRequestHandler, type Express, type RequestHandler, type Router } from 'express'
import helmet from 'helmet'
import { MillraceError } from '../errors.ts'
import type { Logger } from '../observe/log.ts'
import { bearerOf } from './auth.ts'
import { errorPage } from './page.ts'
import { problemOf } from './problem.ts'
import { sameOrigin } from './same-origin.ts'

/**
 * Everything that people and programs look at. Without `api` and `dashboard` it is only the health of a process that has
 * another role.
 */
export function createExpress({
  health,
  api,
  dashboard,
  sessions,
  log,
}: {
  health: Router
  api?: Router
  dashboard?: Router
  sessions?: RequestHandler
  log: Logger
}): Express {
  const app = express()
  app.disable('x-powered-by')
  // Only a proxy on this machine is believed about where a request came from and whether it came by TLS.
  app.set('trust proxy', 'loopback')
  app.use(securityHeaders())
  app.use(health)
  if (api && dashboard && sessions) {
    app.use('/dashboard', sessions)
    // Who brings a key has no use for a session, nor for a store that keeps sessions.
    app.use('/api', (request, response, next) =>
      bearerOf(request) === undefined ? sessions(request, response, next) : next(),
    )
    app.use('/dashboard', sameOrigin)
    // Without a session there is nothing that another site could make use of: who has no key is told so.
    app.use('/api', (request, response, next) =>
      request.session?.keyId === undefined ? next() : sameOrigin(request, response, next),
    )
    app.use('/api', api)
    app.use('/dashboard', dashboard)
    app.get('/', (_request, response) => response.redirect(303, '/dashboard'))
  }
  app.use((request, _response) => {
    throw new MillraceError('not-found', `there is nothing at ${request.path.slice(0, 200)}`)
  })
  app.use(errorHandler(log))
  return app
}

/**
 * Strict, and the same with and without TLS: upgrade-insecure-requests would leave the page without its scripts on plain
 * http. Inline styles are needed by Bull Board; inline scripts are not.
 */
function securityHeaders(): RequestHandler {
  const headersFor = (isSecure: boolean): RequestHandler =>
    helmet({
      contentSecurityPolicy: {
        useDefaults: false,
        directives: {
          defaultSrc: ["'none'"],
          scriptSrc: ["'self'"],
          styleSrc: ["'self'", "'unsafe-inline'"],
          imgSrc: ["'self'", 'data:'],
          fontSrc: ["'self'"],
          connectSrc: ["'self'"],
          baseUri: ["'self'"],
          formAction: ["'self'"],
          frameAncestors: ["'none'"],
        },
      },
      strictTransportSecurity: false,
      xFrameOptions: { action: 'deny' },
      referrerPolicy: { policy: 'same-origin' },
      // Browsers heed these two on trustworthy origins only, and complain about them on others.
      ...(isSecure ? {} : { crossOriginOpenerPolicy: false, originAgentCluster: false }),
    })
  const [plain, secure] = [headersFor(false), headersFor(true)]
  return (request, response, next) => (request.secure ? secure : plain)(request, response, next)
}

function errorHandler(log: Logger): ErrorRequestHandler {
  return (error, request, response, next) => {
    const requestId = randomUUID()
    const { status, headers, body } = problemOf(error, { requestId })
    // Path without query: a query may hold a secret.
    if (status >= 500)
      log.error({ err: error, requestId, method: request.method, path: request.path }, 'request failed')
    if (response.headersSent) return next(error)
    // A person who looks at the dashboard gets a page; programs get the problem.
    if (request.path.startsWith('/dashboard') && request.accepts(['json', 'html']) === 'html') {
      const { title, detail, ...forPrograms } = JSON.parse(body) as { title: string; detail?: string; todo: string }
      // People do not see headers.
      const todo = headers['Retry-After'] ? `Try again in ${headers['Retry-After']} s.` : forPrograms.todo
      response
        .status(status)
        .set({ ...headers, 'Content-Type': 'text/html; charset=utf-8' })
        .send(errorPage({ title, text: detail ?? '', todo }))
    } else response.status(status).set(headers).send(body)
  }
}
