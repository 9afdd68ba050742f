import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { Queue } from 'bullmq'
import express from 'express'
import { dedupeMs, jobOptions, queueName, signingSecret } from './events.ts'

/*
 * The plain alternative, as one would write it in an afternoon with the documentation open, and write it well: raw body,
 * constant-time check, deduplication in the add, an answer only after the add. One add for each request.
 */

const { path } = JSON.parse(process.argv[2] ?? '{}') as { path: string }
const toleranceSeconds = 300

const queue = new Queue(queueName, { connection: { path } })
const app = express()
app.disable('x-powered-by')

app.post('/hooks/slack', express.raw({ type: () => true, limit: '1mb' }), async (request, response) => {
  const body: unknown = request.body
  const timestamp = request.get('x-slack-request-timestamp') ?? ''
  const given = Buffer.from(request.get('x-slack-signature') ?? '')
  const isRecent = Math.abs(Date.now() / 1_000 - Number(timestamp)) <= toleranceSeconds
  if (!Buffer.isBuffer(body) || !isRecent) return void response.status(401).end()
  const mac = createHmac('sha256', signingSecret).update(`v0:${timestamp}:`).update(body).digest('hex')
  const expected = Buffer.from(`v0=${mac}`)
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return void response.status(401).end()

  const event = JSON.parse(body.toString('utf8')) as { event_id: string; event: { type: string } }
  await queue.add(event.event.type, event, {
    ...jobOptions,
    jobId: randomUUID(),
    deduplication: { id: event.event_id, ttl: dedupeMs },
  })
  response.status(200).end()
})

await queue.waitUntilReady()
const server = app.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))
// Whoever started this process wants its profile, or has died.
process.on('SIGTERM', () => process.exit(0))
process.on('disconnect', () => process.exit(0))
