import { writeSync } from 'node:fs'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { startApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { defineQueue, defineWorker } from '../../src/index.ts'
import { createLogger } from '../../src/observe/log.ts'

/* A scheduler and worker that writes down which runs it starts and ends, for a test that kills it: `+ id`, `- id`. */

const ticks = defineQueue({
  name: 'ticks',
  payload: z.object({}),
  schedule: [
    { id: 'every', every: '1s', payload: {} },
    { id: 'cron', cron: '* * * * * *', payload: {} },
  ],
})
const worker = defineWorker(ticks, async ({ id }) => {
  writeSync(1, `+ ${id}\n`)
  await new Promise((resolve) => setTimeout(resolve, 20))
  writeSync(1, `- ${id}\n`)
})
const env = JSON.parse(process.argv[2] ?? '{}') as Record<string, string>
const config = loadConfig({ ...env, ROLES: 'worker,scheduler', LOG_LEVEL: 'silent' })
await startApp({
  config,
  definitions: { queues: [ticks, quarantine], workers: [worker], ignored: [] },
  log: createLogger(config),
})
writeSync(1, 'ready\n')
