import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { adminKey, startTestApp, type TestApp, tenantKey } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { signIn } from '../harness/session.ts'
import { until } from '../harness/until.ts'

/* Whoever is not there takes no place from those who are, however he came and went. */

let redis: TestRedis
let app: TestApp
beforeAll(async () => {
  redis = await startRedis()
  app = await startTestApp(redis.url, { env: { ROLES: 'http', LIVE_HEARTBEAT: '1s' } })
})
afterEach(() => redis?.signal('SIGCONT'))
afterAll(async () => {
  await app?.close()
  await redis?.stop()
})

const head = (more: string) => `GET /api/stream?topic=%3E HTTP/1.1\r\nHost: x\r\n${more}\r\n\r\n`

function open() {
  const socket = connect(Number(new URL(app.url).port), '127.0.0.1')
  let text = ''
  socket.setEncoding('utf8').on('error', () => {})
  socket.on('data', (chunk) => {
    text += chunk
  })
  return { socket, text: () => text }
}

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${app.url}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1] ?? Number.NaN)
}
const listening = () => metric('millrace_stream_clients')

it('asks for a connection of its own, and leaves nobody behind when that ends', async () => {
  const { socket, text } = open()
  socket.write(head(`Authorization: Bearer ${tenantKey}`).repeat(10))
  await until(() => text().includes('\nid: '), 'the first is told where he is')
  expect(await listening()).toBe(1)
  socket.destroy()
  await until(async () => (await listening()) === 0, 'all have left')

  const other = open()
  other.socket.write(`GET /api/queues HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${tenantKey}\r\n\r\n`)
  other.socket.write(head(`Authorization: Bearer ${tenantKey}`))
  await until(() => other.text().includes('a connection of its own'), 'he is told why')
  expect(other.text()).toContain('HTTP/1.1 400')
  expect(await listening()).toBe(0)
  other.socket.destroy()
})

it('forgets browsers that leave while their session is looked up', async () => {
  const { cookie } = await signIn(app.url, adminKey)
  redis.signal('SIGSTOP')
  const all = Array.from({ length: 20 }, open)
  await Promise.all(all.map(({ socket }) => new Promise((resolve) => socket.write(head(`Cookie: ${cookie}`), resolve))))
  // Behind them in the same process, so that they have been read when it is answered.
  await (await fetch(`${app.url}/healthz`)).text()
  for (const { socket } of all) socket.resetAndDestroy()
  await (await fetch(`${app.url}/healthz`)).text()
  redis.signal('SIGCONT')
  const stays = open()
  stays.socket.write(head(`Cookie: ${cookie}`))
  await until(() => stays.text().includes('\nid: '), 'he who stays is told where he is')
  await until(async () => (await listening()) === 1, 'the others have left')
  stays.socket.destroy()
  await until(async () => (await listening()) === 0, 'he has left')
})
