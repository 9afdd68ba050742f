import { z } from 'zod'
import { defineQueue } from '../src/index.ts'

/** Computes again what was asked for most, before it is asked for: each half hour, and when `millrace warm` says so. */
export default defineQueue({
  name: 'cache-warm',
  payload: z.object({
    /** Default: every tenant that used the cache in the last day. */
    tenant: z.string().min(1).optional(),
    /** Names of warmers and cached functions. Default: all. */
    names: z.array(z.string()).optional(),
    top: z.number().int().min(1).max(1_000).default(100),
    perSecond: z.number().int().min(1).max(1_000).default(20),
  }),
  schedule: { every: '30m', payload: {}, missed: 'skip' },
  // The next run makes up for one that failed; nobody wants yesterday's.
  retry: { attempts: 2, base: '10s' },
  expires: '30m',
})
