import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { Express } from 'express'
import { type ErrorCode, MillraceError } from '../errors.ts'
import { FastPath } from './fast-path.ts'
import type { Hooks } from './hooks.ts'
import { problemOf } from './problem.ts'

/** A sender has this long for its headers, and for all of its request. Slack and GitHub give up after 3 and 10 s. */
const headersMs = 4_000
const requestMs = 8_000
/** Node looks for late requests this often; its default of 30 s would make the limits above meaningless. */
const checkMs = 1_000
/** Longer than the usual 60 s of load balancers, so that it is they who close an idle connection. */
const keepAliveMs = 65_000
/** For an answer of some hundred bytes. */
const readMs = 10_000
const maxHeaderBytes = 16 * 1024
/** After a refusal, time for the sender to read it. */
const lingerMs = 500

type Connection = {
  /** Counted, because a sender may pipeline. */
  unanswered: number
  latest: IncomingMessage | undefined
}

/** One port: /hooks/* goes to `hooks`, past node:http where that is possible, everything else to Express. */
export class HttpServer {
  readonly name = 'http'
  readonly #options: { host: string; port: number; express: Express; hooks: Hooks | undefined }
  readonly #server: Server
  readonly #connections = new Map<Socket, Connection>()
  readonly #fast: FastPath | undefined
  #draining = false

  constructor(options: { host: string; port: number; express: Express; hooks: Hooks | undefined }) {
    this.#options = options
    this.#server = createServer(
      {
        connectionsCheckingInterval: checkMs,
        headersTimeout: headersMs,
        requestTimeout: requestMs,
        maxHeaderSize: maxHeaderBytes,
        keepAliveTimeout: keepAliveMs,
      },
      (request, response) => this.#dispatch(request, response),
    )
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) => {
      // What is wrong belongs to the next request when the last one is complete: with that one's answer still under way,
      // another would be taken for it.
      const { unanswered = 0, latest } = this.#connections.get(socket) ?? {}
      const isNext = unanswered > 0 && latest?.complete === true
      if (isNext) socket.destroy()
      else onClientError(error, socket)
    })
    const listeners = this.#server.listeners('connection') as ((socket: Socket) => void)[]
    const handOver = (socket: Socket) => {
      this.#connections.set(socket, { unanswered: 0, latest: undefined })
      socket.once('close', () => this.#connections.delete(socket))
      for (const listener of listeners) listener.call(this.#server, socket)
    }
    const { hooks } = options
    this.#fast =
      hooks &&
      new FastPath({
        answer: hooks.answer,
        handOver,
        refuseSilent: (socket) => refuse(socket, 'request-timeout'),
        maxHeadBytes: maxHeaderBytes,
        headersMs,
        keepAliveMs,
        readMs,
      })
    this.#server.removeAllListeners('connection')
    this.#server.on('connection', (socket: Socket) => (this.#fast ? this.#fast.take(socket) : handOver(socket)))
  }

  /** Throws `port-in-use`. */
  async start(): Promise<void> {
    const { host, port } = this.#options
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (error: NodeJS.ErrnoException) => reject(listenError(error, host, port)))
      this.#server.listen(port, host, resolve)
    })
  }

  get url(): string {
    const { address, port, family } = this.#server.address() as AddressInfo
    const shown = ['0.0.0.0', '::', '127.0.0.1'].includes(address)
      ? 'localhost'
      : family === 'IPv6'
        ? `[${address}]`
        : address
    return `http://${shown}:${port}`
  }

  /**
   * Answers every request that has arrived and takes none after it. Connections without one are closed at once: Node
   * itself would wait for those that never sent anything, as browsers keep in reserve.
   */
  async stop(deadline: number): Promise<void> {
    if (!this.#server.listening) return
    this.#draining = true
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    this.#fast?.leave()
    for (const [socket, { unanswered }] of this.#connections) if (unanswered === 0) socket.destroy()
    const patience = Math.min(requestMs, Math.max(0, (deadline - Date.now()) / 2))
    const timer = setTimeout(() => {
      this.#server.closeAllConnections()
      this.#fast?.destroyAll()
    }, patience)
    await closed
    clearTimeout(timer)
  }

  #dispatch(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    const connection = this.#connections.get(socket)
    if (connection) {
      connection.latest = request
      connection.unanswered += 1
      response.on('close', () => {
        connection.unanswered -= 1
        if (connection.unanswered === 0 && this.#draining) socket.end()
      })
    }
    if (this.#draining) response.setHeader('Connection', 'close')
    const { hooks, express } = this.#options
    const url = request.url ?? '/'
    if (!hooks || !url.startsWith('/hooks/')) return void express(request, response)
    const query = url.indexOf('?')
    void hooks.serve(request, response, query < 0 ? url : url.slice(0, query))
  }
}

function listenError(error: NodeJS.ErrnoException, host: string, port: number): Error {
  if (error.code === 'EADDRINUSE')
    return new MillraceError('port-in-use', `port ${port} on ${host} is in use`, { cause: error })
  if (error.code === 'EACCES')
    return new MillraceError('port-in-use', `port ${port} on ${host} may not be used by this user`, { cause: error })
  return new MillraceError('invalid-setting', `cannot listen on ${host}:${port}: ${error.message}`, { cause: error })
}

/** What Node's parser refuses never becomes a request; it gets the same kind of answer all the same. */
function onClientError(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const code: ErrorCode =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? 'headers-too-large'
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? 'request-timeout'
        : 'malformed-request'
  refuse(socket, code)
}

function refuse(socket: Socket, code: ErrorCode): void {
  const { status, body } = problemOf(new MillraceError(code))
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    'Content-Type: application/problem+json',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
  // A sender who neither reads nor hangs up would hold the connection for as long as he likes.
  setTimeout(() => socket.destroy(), lingerMs).unref()
}
