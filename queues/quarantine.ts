import { z } from 'zod'
import { defineQueue } from '../src/index.ts'

/**
 * Genuine requests that no queue could take: not readable, of a type nobody asked for, or not as a queue's schema has it.
 * The sender got its 2xx, because a refusal would only make it send the same again, or switch us off.
 */
export default defineQueue({
  name: 'quarantine',
  payload: z.object({
    source: z.string(),
    event: z.string(),
    reason: z.string(),
    contentType: z.string().nullable(),
    receivedAt: z.iso.datetime(),
    body: z.base64(), // the raw bytes, exactly as they were signed
  }),
  retry: { attempts: 1 },
  keep: { dead: { age: '14d', count: 50_000 } },
})
