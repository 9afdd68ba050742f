import quarantine from '../../queues/quarantine.ts'
import { startApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { defineWorker } from '../../src/index.ts'
import { createLogger } from '../../src/observe/log.ts'
import { type OwnQueue, ownQueues } from './own-queues.ts'
import { tally } from './tally.ts'

/** The product as it runs in the role worker: schema, decisions, metrics, and a log line for each attempt. */

const {
  concurrency,
  env,
  queue: kind = 'plain',
} = JSON.parse(process.argv[2] ?? '{}') as {
  queue?: OwnQueue
  concurrency: number
  env: Record<string, string>
}
const queue = ownQueues[kind]
const count = tally()

const worker = defineWorker(
  queue,
  async ({ payload }) => {
    count(payload)
    return { ok: true }
  },
  { concurrency },
)
const config = loadConfig({ ...env, ROLES: 'worker', LOG_LEVEL: 'info', LOG_FORMAT: 'json' })
const definitions = { queues: [queue, quarantine], workers: [worker], ignored: [] }
await startApp({ config, definitions, log: createLogger(config) })

process.send?.('ready')
