import { once } from 'node:events'
import { connect } from 'node:net'
import { Readable } from 'node:stream'
import express from 'express'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { FastPath } from '../../src/http/fast-path.ts'
import type { HookAnswer } from '../../src/http/hooks.ts'
import type { PlainRequest } from '../../src/http/plain-request.ts'
import { HttpServer } from '../../src/http/server.ts'
import { rawRequest, type Talk, talkTo } from '../harness/talk.ts'
import { until } from '../harness/until.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  vi.restoreAllMocks()
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const ok: HookAnswer = { status: 200, headers: {}, body: '' }
type Under = { request: PlainRequest; reply: (answer?: HookAnswer) => void; fail: (error: Error) => void }

/** The real server, with hooks that answer when the test says so; those of node:http's answer at once. */
async function start({ answer }: { answer?: (request: PlainRequest) => Promise<HookAnswer> } = {}) {
  const under: Under[] = []
  const taken = vi.spyOn(FastPath.prototype, 'take').mockClear()
  const app = express()
  app.get('/healthz', (_request, response) => void response.send('healthy'))
  const server = new HttpServer({
    host: '127.0.0.1',
    port: 0,
    express: app,
    hooks: {
      answer:
        answer ??
        ((request) => new Promise((reply, fail) => under.push({ request, reply: (one = ok) => reply(one), fail }))),
      serve: async (request, response) => {
        let body = ''
        for await (const chunk of request) body += chunk
        response.end(`node:${body}`)
      },
    },
  })
  await server.start()
  cleanups.push(() => server.stop(Date.now()))
  const talk = (options: Parameters<typeof talkTo>[1] = {}): Talk => {
    const opened = talkTo(server.url, options)
    cleanups.push(opened.hangUp)
    return opened
  }
  const arrived = async (count: number): Promise<Under[]> => {
    await until(() => under.length >= count, `${count} requests under way`)
    return under
  }
  return { server, talk, under, arrived, socketOf: (index: number) => taken.mock.calls[index]?.[0] }
}

const hook = (body: string) =>
  rawRequest('POST', '/hooks/a', { 'Content-Length': String(Buffer.byteLength(body)) }, body)
const named = (body: string): HookAnswer => ({ ...ok, body: `fast:${body};` })
const echo = async ({ body }: PlainRequest) => named(body.toString())
const health = rawRequest('GET', '/healthz', {})
const bodies = (heard: string) => heard.match(/(fast|node):[a-z]*|healthy/g)
const answers = (heard: string) => heard.match(/HTTP\/1\.1 \d+/g)?.length ?? 0

describe('several requests over one connection', () => {
  it('are answered one after the other, when they come one after the other', async () => {
    const { talk } = await start({ answer: echo })
    const sender = talk()
    for (const name of ['one', 'two', 'three']) {
      sender.send(hook(name))
      expect(await sender.hears(new RegExp(`${name};`))).toMatch(
        /\r\nConnection: keep-alive\r\nKeep-Alive: timeout=65\r\n/,
      )
    }
  })

  it('are answered in order, when further ones come before the first has its answer', async () => {
    const { talk, under, arrived } = await start()
    const sender = talk()
    sender.send(hook('one'))
    await arrived(1)
    sender.send(hook('two'))
    sender.send(hook('three'))
    // It would come in the same way and at the same time if it were taken.
    const other = talk()
    other.send(hook('other'))
    await arrived(2)
    expect(under.map(({ request }) => request.body.toString())).toEqual(['one', 'other'])
    under[0]?.reply(named('one'))
    await sender.hears(/fast:one/)
    // The two come as two pieces, or as one, which is node:http's then.
    const rest = sender.hears(/(fast|node):three/)
    let heard: string | undefined
    void rest.then((all) => {
      heard = all
    })
    await until(() => {
      for (const { request, reply } of under.slice(2)) reply(named(request.body.toString()))
      return heard
    }, 'all answers')
    expect(bodies(heard ?? '')?.map((one) => one.slice(5))).toEqual(['one', 'two', 'three'])
  })

  it.each([
    ['a request in two pieces', [hook('two').subarray(0, 40), hook('two').subarray(40)], ['node:two']],
    ['two at once', [Buffer.concat([hook('two'), hook('three')])], ['node:two', 'node:three']],
    ['one for somebody else', [health], ['healthy']],
    [
      'one and a half',
      [Buffer.concat([hook('two'), health.subarray(0, 9)]), health.subarray(9)],
      ['node:two', 'healthy'],
    ],
  ])('go over to node:http with every byte, in order: %s', async (_name, [first, second], expected) => {
    for (const isEarly of [false, true]) {
      const handedOver = vi.spyOn(Readable.prototype, 'unshift').mockClear()
      const { talk, arrived, socketOf } = await start()
      const sender = talk()
      sender.send(hook('one'))
      const [one] = await arrived(1)
      if (isEarly && first) sender.send(first)
      if (isEarly) await until(() => socketOf(0)?.isPaused(), 'more has come')
      one?.reply(named('one'))
      await sender.hears(/fast:one/)
      if (!isEarly && first) sender.send(first)
      if (second) {
        await until(() => handedOver.mock.calls.length > 0, 'the connection is handed over')
        sender.send(second)
      }
      const heard = await sender.hears(new RegExp(`${expected.at(-1)}`))
      expect(bodies(heard)).toEqual(['fast:one', ...expected])
      // It is node:http's for good.
      sender.send(hook('last'))
      expect(await sender.hears(/last/)).toContain('node:last')
    }
  })

  it('may be as large as what comes in one piece, or larger', async () => {
    const { talk } = await start({ answer: async ({ body }) => named(String(body.length)) })
    const head = hook('x'.repeat(60_000)).length - 60_000
    for (const more of [-1, 0, 1]) {
      const sender = talk()
      const body = 'x'.repeat(64 * 1024 - head + more)
      sender.send(hook(body))
      // Which way depends on how the bytes come; the answer does not.
      expect(answers(await sender.hears(new RegExp(`fast:${body.length};|node:x{${body.length}}`)))).toBe(1)
    }
  })
})

describe('a sender', () => {
  it('who closes his side gets the answer to what he has sent', async () => {
    const { server, arrived, socketOf } = await start()
    for (const [name, count] of [
      ['one', 1],
      ['one', 2],
    ] as const) {
      const socket = connect({ port: Number(new URL(server.url).port), host: '127.0.0.1', allowHalfOpen: true })
      let heard = ''
      socket.on('data', (chunk) => {
        heard += chunk.toString()
      })
      const before = (await arrived(0)).length
      socket.write(hook(name))
      const under = await arrived(before + 1)
      if (count === 2) socket.write(hook('two'))
      socket.end()
      await once(socket, 'finish')
      await until(() => socketOf(before)?.readableEnded, 'the end has come')
      under[before]?.reply(named('one'))
      if (count === 2) (await arrived(before + 2))[before + 1]?.reply(named('two'))
      await once(socket, 'close')
      expect(bodies(heard)).toEqual(count === 1 ? ['fast:one'] : ['fast:one', 'fast:two'])
      expect(heard.match(/Connection: close/g)).toHaveLength(1)
    }
  })

  it('who hangs up before his answer harms nobody', async () => {
    const { server, talk, arrived, socketOf } = await start()
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
    socket.write(hook('one'))
    const [one] = await arrived(1)
    socket.resetAndDestroy()
    await once(socket, 'close')
    await until(() => socketOf(0)?.destroyed, 'that is known')
    one?.reply()
    const next = talk()
    next.send(hook('two'))
    ;(await arrived(2))[1]?.reply()
    await next.hears(/200 OK/)
  })

  it('whose answer cannot be written, or does not come, is hung up on', async () => {
    const { talk, arrived } = await start()
    for (const value of ['a\r\nSet-Cookie: b', 'a\nb', 'a\0b', undefined]) {
      const before = (await arrived(0)).length
      const sender = talk()
      sender.send(hook('one'))
      const one = (await arrived(before + 1))[before]
      if (value === undefined) one?.fail(new Error('no answer'))
      else one?.reply({ ...ok, headers: { 'X-A': value } })
      expect(await sender.gone).toBe('')
    }
  })
})

describe('a stop', () => {
  it('answers what is under way, says that it is the last, and waits for no sender to hang up', async () => {
    const { server, talk, arrived } = await start()
    const sender = talk({ isStubborn: true })
    sender.send(hook('one'))
    const [one] = await arrived(1)
    const began = Date.now()
    const stopped = server.stop(Date.now() + 60_000)
    one?.reply(named('one'))
    expect(await sender.hears(/fast:one/)).toMatch(/\r\nConnection: close\r\n/)
    await stopped
    expect(Date.now() - began).toBeLessThan(3_000)
  })

  it('closes connections at once that have nothing under way', async () => {
    const { server, talk } = await start({ answer: echo })
    const senders = [talk(), talk(), talk({ isStubborn: true })]
    for (const sender of senders.slice(1)) sender.send(hook('one'))
    for (const sender of senders.slice(1)) await sender.hears(/fast:one/)
    const began = Date.now()
    await server.stop(Date.now() + 60_000)
    expect(Date.now() - began).toBeLessThan(3_000)
  })

  it('does not wait longer than it may for an answer, or for a sender who never reads', async () => {
    const { server, talk, arrived } = await start()
    talk().send(hook('one'))
    await arrived(1)
    const began = Date.now()
    await server.stop(Date.now() + 400)
    expect(Date.now() - began).toBeLessThan(3_000)
  })
})
