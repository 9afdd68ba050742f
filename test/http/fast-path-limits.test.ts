import { once } from 'node:events'
import { type AddressInfo, connect, createServer, Socket } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { FastPath, type FastPathOptions } from '../../src/http/fast-path.ts'
import { rawRequest, talkTo } from '../harness/talk.ts'
import { until } from '../harness/until.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  vi.restoreAllMocks()
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const hook = (body: string) =>
  rawRequest('POST', '/hooks/a', { 'Content-Length': String(Buffer.byteLength(body)) }, body)

describe('a connection', () => {
  /** The way itself, with limits of its own. */
  async function way(more: Partial<FastPathOptions> = {}) {
    const said: string[] = []
    const fast = new FastPath({
      answer: async ({ body }) => ({ status: 200, headers: {}, body: `fast:${body};` }),
      handOver: () => said.push('handed over'),
      refuseSilent: (socket) => {
        said.push('refused')
        socket.end('too late')
      },
      maxHeadBytes: 16_384,
      headersMs: 5_000,
      keepAliveMs: 5_000,
      readMs: 5_000,
      ...more,
    })
    const sockets: Socket[] = []
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.push(socket)
      fast.take(socket)
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    cleanups.push(() => void server.close())
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    return { fast, said, sockets, url }
  }

  it('is refused when it says nothing in time, and closed when it says nothing more', async () => {
    const { said, url } = await way({ headersMs: 100, keepAliveMs: 300 })
    expect(await talkTo(url).gone).toBe('too late')
    expect(said).toEqual(['refused'])
    const sender = talkTo(url)
    sender.send(hook('one'))
    expect(await sender.gone).toContain('fast:one;')
    expect(said).toEqual(['refused'])
  })

  it('that has been refused serves nothing that comes after all', async () => {
    const answer = vi.fn(async () => ({ status: 200, headers: {}, body: '' }))
    const { url } = await way({ headersMs: 100, answer })
    const sender = talkTo(url, { isStubborn: true })
    cleanups.push(sender.hangUp)
    await sender.hears(/too late/)
    sender.send(hook('one'))
    // What is taken over another connection afterwards has overtaken it, if it is ever taken.
    const other = talkTo(url)
    other.send(hook('other'))
    await other.hears(/200/)
    other.hangUp()
    expect(answer).toHaveBeenCalledTimes(1)
  })

  it('that we leave gets the rest of its answer first', async () => {
    // Less than what a socket keeps before it says that it has enough.
    const body = 'x'.repeat(15_000)
    const { fast, sockets, url } = await way({ answer: async () => ({ status: 200, headers: {}, body }) })
    const client = connect(Number(new URL(url).port), '127.0.0.1').pause()
    cleanups.push(() => client.destroy())
    await once(client, 'connect')
    const [socket] = await until(() => sockets[0] && sockets, 'the other end')
    let sent = 0
    while (socket?.writableLength === 0) {
      const written = socket.bytesWritten
      client.write(hook('one'))
      sent += 1
      while (socket.bytesWritten === written) await new Promise((resolve) => setImmediate(resolve))
    }
    fast.leave()
    let heard = ''
    client.on('data', (chunk: Buffer) => {
      heard += chunk.toString()
    })
    client.resume()
    await once(client, 'close')
    expect(heard.match(/x{15000}(?!x)/g)).toHaveLength(sent)
  })

  it('of a sender who never reads is not read from either, and is cut off', async () => {
    let count = 0
    const large = 'x'.repeat(256 * 1024)
    const { url } = await way({
      readMs: 1_000,
      answer: async () => {
        count += 1
        return { status: 200, headers: {}, body: large }
      },
    })
    const socket = connect(Number(new URL(url).port), '127.0.0.1').pause()
    cleanups.push(() => socket.destroy())
    socket.on('error', () => {})
    const closed = new Promise((resolve) => socket.on('close', resolve))
    // Until what is on the way between the two is full.
    let taken = -1
    while (taken < count) {
      taken = count
      socket.write(hook('one'))
      await Promise.race([until(() => count > taken, 'an answer', 300).catch(() => {}), closed])
    }
    expect(count).toBeLessThan(200)
    // Bytes that look like life: each would put off a limit that knows only of silence.
    const timer = setInterval(() => socket.write('x'), 50)
    cleanups.push(() => clearInterval(timer))
    await closed
  })

  it('leaves nothing behind, and no listener with those that go over to node:http', { timeout: 60_000 }, async () => {
    const { fast, said, url } = await way()
    const warned = vi.fn()
    process.on('warning', warned)
    cleanups.push(() => process.off('warning', warned))
    for (let round = 0; round < 50; round += 1)
      await Promise.all(
        Array.from({ length: 100 }, async (_, i) => {
          const sender = talkTo(url)
          if (i % 3 > 0) sender.send(hook('one'))
          if (i % 3 > 0) await sender.hears(/fast:one/)
          if (i % 3 === 2) for (let k = 0; k < 12; k += 1) sender.send(hook('two'))
          sender.hangUp()
          await sender.gone
        }),
      )
    const destroyed = vi.spyOn(Socket.prototype, 'destroy')
    await until(() => {
      destroyed.mockClear()
      fast.destroyAll()
      return destroyed.mock.calls.length === 0
    }, 'all connections forgotten')
    expect(said.every((one) => one === 'handed over')).toBe(true)
    expect(warned).not.toHaveBeenCalled()
  })
})
