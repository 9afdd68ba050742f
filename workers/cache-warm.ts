import cacheWarm from '../queues/cache-warm.ts'
import { defineWorker } from '../src/index.ts'
import { warmers } from './_warmers.ts'

export default defineWorker(
  cacheWarm,
  async ({ payload, tenant }, { cache, log, signal }) => {
    const { names, top, perSecond } = payload
    const whose = tenant ?? payload.tenant
    const report = await cache.warm({
      warmers,
      top,
      perSecond,
      signal,
      ...(names ? { names } : {}),
      ...(whose === undefined ? {} : { tenant: whose }),
    })
    log.info({ ...report }, `warmed ${report.warmed} cache entries of ${report.tenants} tenants`)
    return report
  },
  // One after the other: two would double the rate.
  { concurrency: 1, timeout: '25m' },
)
