import { Redis } from 'ioredis'
import { pino } from 'pino'
import { z } from 'zod'
import { defineQueue, defineWorker } from '../../src/index.ts'
import { Runner } from '../../src/jobs/runner.ts'
import { createMetrics } from '../../src/observe/metrics.ts'

/*
 * A worker whose process does not survive the job it is given; prints `ready`, and `job <n>` as the last thing. Jobs above 0 do it no
 * harm. For poison.test.ts.
 */

const [path = '', prefix = ''] = process.argv.slice(2)
const queue = defineQueue({ name: 'work', payload: z.object({ n: z.number() }) })
const worker = defineWorker(queue, ({ payload }) => {
  process.stdout.write(`job ${payload.n}\n`)
  if (payload.n === 0) process.kill(process.pid, 'SIGKILL')
})
const redis = new Redis({ path, maxRetriesPerRequest: null })
await new Runner({
  worker,
  redis,
  prefix,
  log: pino(),
  metrics: createMetrics(),
  enqueue: () => Promise.reject(new Error('nothing is enqueued here')),
  settings: undefined,
}).start()
process.stdout.write('ready\n')
