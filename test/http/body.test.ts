import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { MillraceError } from '../../src/errors.ts'
import { BodyReader } from '../../src/http/body.ts'
import { rawRequest, type Talk, talkTo } from '../harness/talk.ts'
import { until } from '../harness/until.ts'

/* What all bodies under way may hold together. */

const mb = 1024 ** 2
let server: Server
let reader: BodyReader
let held: Buffer[]
let url: string
beforeEach(async () => {
  reader = new BodyReader(2 * mb)
  held = []
  server = createServer(async (request, response) => {
    try {
      held.push(await reader.read(request, 10 * mb))
      response.end('taken')
    } catch (error) {
      response.writeHead(error instanceof MillraceError ? error.status : 500, { connection: 'close' })
      response.end(error instanceof MillraceError ? error.code : 'failed')
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
})

const send = async (bytes: number) => (await fetch(url, { method: 'POST', body: Buffer.alloc(bytes) })).text()

it('refuses a large one beyond it, takes small ones all the same, and large ones again when there is room', async () => {
  expect(await send(1.5 * mb)).toBe('taken')
  expect(await send(1.5 * mb)).toBe('overloaded')
  expect(await send(1_000)).toBe('taken')
  reader.release(held[0] as Buffer)
  expect(await send(1.5 * mb)).toBe('taken')
})

it('holds nothing of what was refused or broke off', async () => {
  const part = rawRequest('POST', '/', { 'Content-Length': String(3 * mb) }, Buffer.alloc(1.8 * mb))
  const talk: Talk = talkTo(url)
  const arrived = new Promise((resolve) => server.once('request', (request) => request.on('data', resolve)))
  talk.send(part)
  await arrived
  talk.hangUp()
  await talk.gone
  for (let i = 0; i < 3; i += 1) expect(await send(11 * mb).catch(() => 'too-large')).toBe('too-large')
  await until(async () => (await send(1.9 * mb)) === 'taken', 'there is room again', 5_000)
})

it('takes no more memory for many small pieces than for one', async () => {
  const pieces = 300_000
  const talk = talkTo(url)
  talk.send(rawRequest('POST', '/', { 'Transfer-Encoding': 'chunked' }))
  const before = process.memoryUsage()
  for (let sent = 0; sent < pieces; sent += 10_000) talk.send('1\r\nx\r\n'.repeat(10_000))
  talk.send('0\r\n\r\n')
  expect(await talk.hears(/taken/)).toContain('200 OK')
  talk.hangUp()
  const [body] = held
  expect(body?.length).toBe(pieces)
  expect(body?.buffer.byteLength).toBeLessThan(4 * pieces)
  expect(process.memoryUsage().arrayBuffers - before.arrayBuffers).toBeLessThan(20 * mb)
})
