import { writeSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import quarantine from '../../queues/quarantine.ts'
import { startApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { defineWorker } from '../../src/index.ts'
import { createLogger } from '../../src/observe/log.ts'
import { type GateQueue, gateQueues } from './gate-queues.ts'

/*
 * A worker that writes down when it has a job in hand, for tests that kill it: `+ key n at`, then `- key n at` when it is done
 * or `x key n at` when it failed. Times are in milliseconds of the machine's clock, which all processes share.
 */

const { kind, env, failures } = JSON.parse(process.argv[2] ?? '{}') as {
  kind: GateQueue
  env: Record<string, string>
  failures: number
}
const queue = gateQueues[kind]
/** In one write, so that a line is whole or missing, whenever the process is killed. */
function say(mark: string, { key, n }: { key: string; n: number }): void {
  const line = `${mark} ${key} ${n} ${performance.timeOrigin + performance.now()}\n`
  for (;;)
    try {
      return void writeSync(1, line)
    } catch (error) {
      // The pipe is full: whoever reads it is busy. Thrown into the handler, it would be a failed attempt nobody meant.
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
}

const worker = defineWorker(
  queue,
  async ({ payload }) => {
    say('+', payload)
    // Long enough that a kill finds jobs in hand.
    await setTimeout(Math.random() * 20)
    const hasFailed = Math.random() < failures
    say(hasFailed ? 'x' : '-', payload)
    if (hasFailed) throw new Error('now and then')
  },
  { concurrency: 20 },
)
const config = loadConfig({ ...env, ROLES: 'worker', LOG_LEVEL: 'silent' })
await startApp({
  config,
  definitions: { queues: [queue, quarantine], workers: [worker], ignored: [] },
  log: createLogger(config),
})
writeSync(1, 'ready\n')
