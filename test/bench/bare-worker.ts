import { Worker } from 'bullmq'
import { queueName, retention } from './events.ts'

/** The plain alternative: BullMQ's own worker, and a handler that does nothing. */

const { path, concurrency } = JSON.parse(process.argv[2] ?? '{}') as { path: string; concurrency: number }
let handled = 0

const worker = new Worker(
  queueName,
  async () => {
    handled += 1
    return { ok: true }
  },
  { connection: { path, maxRetriesPerRequest: null }, concurrency, ...retention },
)
worker.on('error', (error) => console.error(error))
await worker.waitUntilReady()

process.on('message', () => {
  process.send?.(handled)
  handled = 0
})
process.on('SIGTERM', () => process.exit(0))
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
