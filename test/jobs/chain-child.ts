import { pino } from 'pino'
import { z } from 'zod'
import { defineQueue, defineWorker } from '../../src/index.ts'
import { openQueues } from '../../src/jobs/bull.ts'
import { Producer } from '../../src/jobs/producer.ts'
import { Runner } from '../../src/jobs/runner.ts'
import { createMetrics } from '../../src/observe/metrics.ts'
import { connect } from '../../src/redis/store.ts'

/*
 * A worker that leaves a job behind for each of its own. With the third argument `die` its process is killed when that has been
 * stored, before its own is completed. For chain-crash.test.ts.
 */

const [path = '', prefix = '', how] = process.argv.slice(2)
const payload = z.object({ n: z.number() })
const queue = defineQueue({ name: 'work', payload })
const next = defineQueue({ name: 'next', payload })
const worker = defineWorker(queue, async ({ payload: { n } }, { enqueue }) => {
  process.stdout.write(`job ${n}\n`)
  await enqueue(next, { n })
  await enqueue(next, { n: n + 1 })
})

const open = () => connect({ host: '', port: 0, path, db: 0 }, 'consumer')
const metrics = createMetrics()
const producer = new Producer({
  redis: open(),
  queues: [queue, next],
  bull: openQueues([queue, next], open(), prefix),
  prefix,
  durability: 'always',
  ackDeadlineMs: 5_000,
  metrics,
  shedder: { isFull: () => undefined, isOver: () => undefined },
})
let stored = 0
await new Runner({
  worker,
  redis: open(),
  prefix,
  log: pino({ level: 'silent' }),
  metrics,
  enqueue: async (to, input, options) => {
    const added = await producer.enqueueFromWorker(to, input, options)
    stored += 1
    if (how === 'die' && stored === 2) process.kill(process.pid, 'SIGKILL')
    return added
  },
  settings: undefined,
}).start()
process.stdout.write('ready\n')
