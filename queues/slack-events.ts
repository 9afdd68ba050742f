import { z } from 'zod'
import { defineQueue } from '../src/index.ts'

/**
 * Everything that Slack's Events API sends. The payload is Slack's own envelope, unchanged. Only what the worker relies on
 * is checked: a field that Slack adds or drops must not turn events away.
 */
export default defineQueue({
  name: 'slack-events',
  payload: z.looseObject({
    type: z.string(),
    team_id: z.string().nullish(),
    event: z.looseObject({ type: z.string() }).optional(),
  }),
  on: ['slack:*', '!slack:command.*', '!slack:interaction.*'],
  // Slack being out of order ends: what is to be said waits for that, for hours if need be.
  retry: { attempts: 8, base: '1s', max: '10m', on: { ToolFault: { attempts: 30 } } },
  keep: { completed: { age: '1h', count: 1000 }, dead: { age: '14d', count: 50_000 } },
})
