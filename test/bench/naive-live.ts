import type { AddressInfo } from 'node:net'
import express, { type Response } from 'express'
import { Redis } from 'ioredis'

/*
 * The plain alternative: express, one subscription, and a write for each client. What is published while somebody is not
 * connected he never hears of.
 */

const { path } = JSON.parse(process.argv[2] ?? '{}') as { path: string }
const heartbeatMs = 15_000

const clients = new Set<Response>()
const app = express()
app.disable('x-powered-by')
app.get('/api/stream', (request, response) => {
  if (request.get('authorization') === undefined) return void response.status(401).end()
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' })
  response.write(':\n\n')
  clients.add(response)
  response.on('close', () => clients.delete(response))
})
setInterval(() => {
  for (const client of clients) client.write(':\n\n')
}, heartbeatMs).unref()

const subscriber = new Redis({ path })
await subscriber.subscribe('live')
subscriber.on('message', (_channel, text) => {
  const message = JSON.parse(text) as unknown
  for (const client of clients) client.write(`data: ${JSON.stringify(message)}\n\n`)
})
const server = app.listen(0, '127.0.0.1', 16_384, () =>
  process.send?.({ port: (server.address() as AddressInfo).port }),
)
// Whoever started this process wants its profile, or has died.
process.on('SIGTERM', () => process.exit(0))
process.on('disconnect', () => process.exit(0))
