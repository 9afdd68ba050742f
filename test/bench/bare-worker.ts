import { Worker } from 'bullmq'
import { queueName, retention } from './events.ts'
import { tally } from './tally.ts'

/** The plain alternative: BullMQ's own worker, and a handler that does nothing. */

const { path, concurrency } = JSON.parse(process.argv[2] ?? '{}') as { path: string; concurrency: number }
const count = tally()

const worker = new Worker(
  queueName,
  async ({ data }) => {
    count(data)
    return { ok: true }
  },
  { connection: { path, maxRetriesPerRequest: null }, concurrency, ...retention },
)
worker.on('error', (error) => console.error(error))
await worker.waitUntilReady()

process.send?.('ready')
