import { Router } from 'express'
import type { Check } from '../observe/check.ts'
import type { Metrics } from '../observe/metrics.ts'

/** /healthz, /readyz, /metrics: for machines on the inside, so without a key; put nothing secret into a detail. */
export function healthRoutes({
  checks,
  metrics,
  refresh,
}: {
  checks: () => readonly Check[]
  metrics: Metrics
  refresh: () => Promise<void>
}): Router {
  const router = Router()

  router.get('/healthz', (_request, response) => {
    response.set('Cache-Control', 'no-store').json({ status: 'ok' })
  })

  router.get('/readyz', (_request, response) => {
    const list = checks()
    const isReady = list.every((check) => check.state !== 'fail')
    const byName = Object.fromEntries(list.map(({ name, ...rest }) => [name, rest]))
    response
      .status(isReady ? 200 : 503)
      .set('Cache-Control', 'no-store')
      .json({ status: isReady ? 'ready' : 'not ready', checks: byName })
  })

  router.get('/metrics', async (_request, response) => {
    // Gauges about the store are best effort: the counters of this process must be readable when Redis is not.
    await refresh().catch(() => {})
    response.type(metrics.registry.contentType).send(await metrics.registry.metrics())
  })

  return router
}
