import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { samples } from '../../src/ops/samples.ts'
import { outcomeOf, type SendOptions, type Sent, send } from '../../src/ops/send.ts'

/* Against a plain server that shows what arrived. */

type Arrived = { at: number; path: string; headers: IncomingHttpHeaders; body: string }

const arrived: Arrived[] = []
let underWay = 0
let mostUnderWay = 0
let answer: (response: ServerResponse) => unknown
const server = createServer(async (request, response) => {
  mostUnderWay = Math.max(mostUnderWay, ++underWay)
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const body = Buffer.concat(chunks).toString('latin1')
  arrived.push({ at: performance.now(), path: request.url ?? '', headers: request.headers, body })
  await new Promise((done) => setTimeout(done, 5))
  underWay--
  answer(response)
})

let url: string
beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
beforeEach(() => {
  arrived.length = 0
  mostUnderWay = 0
  answer = (response) => response.writeHead(202, { 'Millrace-Duplicate': 'false', 'Millrace-Stored': 'queue' }).end()
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

const github = samples.github['pull_request.opened']
if (!github) throw new Error('there is no such sample')

const run = (more: Partial<SendOptions> = {}): Promise<Sent[]> =>
  send({
    url,
    source: 'github',
    make: github,
    count: 1,
    concurrency: 20,
    sign: (body, { id, now, type }) => ({
      'X-Proof': String(body.length),
      'X-Id': id,
      'X-Now': `${now}`,
      'X-Type': type,
    }),
    ...more,
  })

/** What arrived of each event, in the order in which the first of each did. */
function byEvent(): Map<string, Arrived[]> {
  const events = new Map<string, Arrived[]>()
  for (const one of arrived) {
    const id = String(one.headers['x-id'])
    events.set(id, [...(events.get(id) ?? []), one])
  }
  return events
}

it('hands the signer what it needs, and sends its headers with the bytes that it signed', async () => {
  const [sent] = await run({ source: 'a b' })
  expect(arrived).toHaveLength(1)
  const [{ path, headers, body }] = arrived as [Arrived]
  expect(path).toBe('/hooks/a%20b')
  expect(headers).toMatchObject({
    'content-type': 'application/json',
    'x-proof': String(Buffer.byteLength(body, 'latin1')),
    'x-type': 'pull_request.opened',
    'x-id': sent?.id,
  })
  expect(Math.abs(Number(headers['x-now']) - Date.now())).toBeLessThan(10_000)
})

it('sends each event as often again as it is told, with the same id and bytes', async () => {
  const sent = await run({ count: 5, repeats: 2 })
  expect(sent).toHaveLength(15)
  const byId = byEvent()
  expect([...byId.values()].map((copies) => [copies.length, new Set(copies.map(({ body }) => body)).size])).toEqual(
    Array.from({ length: 5 }, () => [3, 1]),
  )
  const ids = sent.map(({ id }) => id)
  expect(ids).toEqual([0, 3, 6, 9, 12].flatMap((i) => [ids[i], ids[i], ids[i]]))
})

it('keeps to the concurrency', async () => {
  await run({ count: 30, concurrency: 3 })
  expect(mostUnderWay).toBe(3)
})

it('spreads events evenly', async () => {
  const began = performance.now()
  await run({ count: 11, rate: 20, repeats: 1 })
  // The first at once, the last after ten intervals of 50 ms; later is a busy machine, earlier would be wrong.
  expect(arrived).toHaveLength(22)
  const events = [...byEvent().values()]
  const early = events.flatMap(([first], i) => (first && first.at - began < i * 50 - 5 ? [i] : []))
  expect(early).toEqual([])
})

it('signs other bytes than it sends when it is to tamper', async () => {
  await run({ tamper: true })
  expect(Number(arrived[0]?.headers['x-proof'])).not.toBe(arrived[0]?.body.length)
  expect(() => JSON.parse(arrived[0]?.body ?? '')).not.toThrow()
})

it('sends without a signature what the provider does not sign', async () => {
  const check = samples.slack.ssl_check
  await run(check ? { make: check } : {})
  expect(arrived[0]?.headers).not.toHaveProperty('x-proof')
})

it('sends bytes that are no text as they are', async () => {
  const body = Buffer.from([0x7b, 0xff, 0xfe, 0x00, 0x7d])
  await run({ make: () => ({ id: 'x', type: 'y', contentType: 'application/octet-stream', body }) })
  expect(Buffer.from(arrived[0]?.body ?? '', 'latin1')).toEqual(body)
})

it('follows no redirection', async () => {
  answer = (response) => response.writeHead(302, { Location: '/elsewhere' }).end()
  expect((await run()).map(outcomeOf)).toEqual(['refused 302'])
  expect(arrived).toHaveLength(1)
})

it('tells when nobody answers', async () => {
  const gone = createServer().listen(0, '127.0.0.1')
  await once(gone, 'listening')
  const { port } = gone.address() as AddressInfo
  gone.close()
  await once(gone, 'close')
  const [sent] = await run({ url: `http://127.0.0.1:${port}` })
  expect(sent).toMatchObject({ status: 0, error: expect.stringContaining('ECONNREFUSED') })
})

it('counts up to the end', async () => {
  const progress: number[] = []
  await run({ count: 5, repeats: 1, onProgress: (done) => progress.push(done) })
  expect(progress).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
})

it.each([
  [{ status: 202, duplicate: false, stored: 'queue' }, 'stored'],
  [{ status: 200, duplicate: false, stored: 'spool' }, 'spooled'],
  [{ status: 202, duplicate: false, stored: 'queue', quarantined: true }, 'quarantined'],
  [{ status: 202, duplicate: true, stored: 'queue' }, 'duplicate'],
  [{ status: 200, duplicate: false, stored: null }, 'answered'],
  [{ status: 401, duplicate: false, stored: null }, 'refused 401'],
  [{ status: 503, duplicate: false, stored: null }, 'refused 503'],
  [{ status: 0, duplicate: false, stored: null }, 'no answer'],
])('calls %j %s', (sent, outcome) => {
  expect(outcomeOf({ id: 'x', ms: 1, error: null, quarantined: false, ...sent })).toBe(outcome)
})
