import quarantine from '../../queues/quarantine.ts'
import slackEvents from '../../queues/slack-events.ts'
import { startApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { defineWorker } from '../../src/index.ts'
import { createLogger } from '../../src/observe/log.ts'

/** The product as it runs in the role worker: schema, decisions, metrics, and a log line for each attempt. */

const { concurrency, env } = JSON.parse(process.argv[2] ?? '{}') as {
  concurrency: number
  env: Record<string, string>
}
let handled = 0

const worker = defineWorker(
  slackEvents,
  async () => {
    handled += 1
    return { ok: true }
  },
  { concurrency },
)
const config = loadConfig({ ...env, ROLES: 'worker', LOG_LEVEL: 'info', LOG_FORMAT: 'json' })
const definitions = { queues: [slackEvents, quarantine], workers: [worker], ignored: [] }
await startApp({ config, definitions, log: createLogger(config) })

process.on('message', () => {
  process.send?.(handled)
  handled = 0
})
process.on('SIGTERM', () => process.exit(0))
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
