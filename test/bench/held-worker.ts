import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import quarantine from '../../queues/quarantine.ts'
import { startApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { defineWorker, RateLimited } from '../../src/index.ts'
import { createLogger } from '../../src/observe/log.ts'
import { ownQueues } from './own-queues.ts'

/*
 * Jobs of ten keys. With `held`, those of the first ask a server that always answers 429 and asks for a pause of a second; how much
 * later than that it is asked again is what we want to know.
 */

const { concurrency, env, held } = JSON.parse(process.argv[2] ?? '{}') as {
  concurrency: number
  env: Record<string, string>
  held: boolean
}
const pauseSeconds = 1
let handled = 0
let late: number[] = []
let lastAnswer: number | undefined

const server = createServer((_request, response) => {
  const now = performance.now()
  // Several may be in hand when the first is told; they do not ask again before the pause is over.
  if (lastAnswer === undefined || now - lastAnswer >= pauseSeconds * 1_000) {
    if (lastAnswer !== undefined) late.push(now - lastAnswer - pauseSeconds * 1_000)
    lastAnswer = now
  }
  response.writeHead(429, { 'Retry-After': String(pauseSeconds) }).end()
}).listen(0, '127.0.0.1')

const worker = defineWorker(
  ownQueues.keys,
  async ({ tenant }) => {
    if (tenant !== 'T0') handled += 1
    else if (held) {
      const response = await fetch(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
      throw new RateLimited(response.headers.get('retry-after') ?? '')
    }
  },
  { concurrency },
)
const config = loadConfig({ ...env, ROLES: 'worker', LOG_LEVEL: 'info', LOG_FORMAT: 'json' })
const definitions = { queues: [ownQueues.keys, quarantine], workers: [worker], ignored: [] }
await startApp({ config, definitions, log: createLogger(config) })

process.on('message', (message) => {
  if (message === 'late') process.send?.(late.length > 0 ? Math.max(...late) : 0)
  else process.send?.(handled)
  if (message !== 'reset') return
  handled = 0
  late = []
  lastAnswer = undefined
})
process.on('SIGTERM', () => process.exit(0))
process.on('disconnect', () => process.exit(0))
process.send?.('ready')
