import { createHmac, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { signingSecret } from './events.ts'

/** The least that a genuine webhook costs with node:http: its body is read, its signature checked, and that is all. */

const toleranceSeconds = 300

const server = createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const body = chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)
    const timestamp = String(request.headers['x-slack-request-timestamp'])
    const given = Buffer.from(String(request.headers['x-slack-signature']))
    const isRecent = Math.abs(Date.now() / 1_000 - Number(timestamp)) <= toleranceSeconds
    const mac = createHmac('sha256', signingSecret).update(`v0:${timestamp}:`).update(body).digest('hex')
    const expected = Buffer.from(`v0=${mac}`)
    const isGenuine = isRecent && given.length === expected.length && timingSafeEqual(given, expected)
    response.writeHead(isGenuine ? 200 : 401, { 'Content-Length': 0 })
    response.end()
  })
})

server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }))
// Whoever started this process wants its profile, or has died.
process.on('SIGTERM', () => process.exit(0))
process.on('disconnect', () => process.exit(0))
