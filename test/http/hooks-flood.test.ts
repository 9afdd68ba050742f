import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type MillraceProcess, startMillrace } from '../harness/process.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId, mention, post, slackSecret } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/* Ten thousand connections that say nothing keep nobody else waiting, and are hung up on. */

const wanted = 10_000
/** Of open files that both processes need for themselves. */
const reserve = 500
const atOnce = 250

let redis: TestRedis
let server: MillraceProcess
beforeAll(async () => {
  redis = await startRedis()
  server = await startMillrace({ REDIS_URL: redis.url, SLACK_SIGNING_SECRET: slackSecret }, ['--roles', 'http'])
})
afterAll(async () => {
  await server.kill('SIGTERM')
  await redis.stop()
})

const openFiles = () => Number(/Max open files +\d+ +(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1])
const memoryMb = () =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.child.pid}/status`, 'utf8'))?.[1]) / 1024

it('takes events between them, and forgets them', async () => {
  const count = Math.min(wanted, openFiles() - reserve)
  const { hostname, port } = new URL(server.url)
  const sockets: Socket[] = []
  let gone = 0
  const open = () =>
    new Promise<void>((resolve, reject) => {
      const socket = connect({ host: hostname, port: Number(port) }, resolve)
      sockets.push(socket)
      socket.resume()
      socket.once('error', reject)
      socket.on('close', () => {
        gone += 1
      })
    })
  const before = memoryMb()
  try {
    for (let n = 0; n < count; n += atOnce) {
      await Promise.all(Array.from({ length: Math.min(atOnce, count - n) }, open))
      if (n % (atOnce * 10) === 0) expect((await post(server.url, mention(freshId()))).status).toBe(200)
    }
    expect((await post(server.url, mention(freshId()))).status).toBe(200)
    expect(memoryMb() - before).toBeLessThan(300)
    await until(() => gone === count, 'all are hung up on', 25_000)
    expect((await post(server.url, mention(freshId()))).status).toBe(200)
  } finally {
    for (const socket of sockets) socket.destroy()
  }
})
