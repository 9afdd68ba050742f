import { z } from 'zod'
import { defineQueue } from '../src/index.ts'

/**
 * Slash commands and interactivity: somebody has clicked and waits. Slack does not send these again, and their
 * response_url works for 30 minutes, so attempts after that would be for nobody.
 */
export default defineQueue({
  name: 'slack-commands',
  payload: z.looseObject({
    command: z.string().optional(),
    text: z.string().optional(),
    type: z.string().optional(),
    response_url: z.string().nullish(),
  }),
  on: ['slack:command.*', 'slack:interaction.*'],
  retry: { attempts: 6, base: '500ms', max: '2m' },
  keep: { completed: { age: '1h', count: 1000 }, dead: { age: '3d', count: 10_000 } },
})
