import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { HookAnswer } from './hooks.ts'
import { type PlainRequest, readPlain } from './plain-request.ts'

type Line = {
  readonly socket: Socket
  /** What came while the request before was being answered: a sender may pipeline. */
  early: Buffer[]
  state: 'idle' | 'answering' | 'writing'
  /** The sender has closed its side, or we are leaving: the answer under way is the last. */
  isLast: boolean
}

export type FastPathOptions = {
  readonly answer: (request: PlainRequest) => Promise<HookAnswer>
  readonly handOver: (socket: Socket) => void
  /** What a connection gets that said nothing in time. */
  readonly refuseSilent: (socket: Socket) => void
  readonly maxHeadBytes: number
  readonly headersMs: number
  readonly keepAliveMs: number
}

/**
 * Answers plain requests to /hooks without node:http, which takes half of what the edge spends on one. A connection whose
 * bytes are anything else is handed over to node:http, for good and with the bytes: slow and large requests, other
 * paths, odd and broken ones are all Node's, with its limits. So only what is complete in one piece is ever looked at here.
 */
export class FastPath {
  readonly #options: FastPathOptions
  readonly #lines = new Set<Line>()
  readonly #clock = new HttpClock()
  readonly #keepAlive: string
  #leaving = false

  constructor(options: FastPathOptions) {
    this.#options = options
    this.#keepAlive = `Connection: keep-alive\r\nKeep-Alive: timeout=${Math.floor(options.keepAliveMs / 1_000)}\r\n`
  }

  take(socket: Socket): void {
    const line: Line = { socket, early: [], state: 'idle', isLast: false }
    const { headersMs, refuseSilent } = this.#options
    let isNew = true
    const onTimeout = () => {
      if (line.state === 'answering') return
      if (isNew && line.state === 'idle') refuseSilent(socket)
      else socket.destroy()
    }
    const onData = (bytes: Buffer) => {
      if (line.state !== 'idle') {
        line.early.push(bytes)
        socket.pause()
        return
      }
      const request = readPlain(bytes, this.#options.maxHeadBytes)
      if (!request) {
        leave()
        socket.setTimeout(0)
        socket.unshift(bytes)
        return this.#options.handOver(socket)
      }
      if (isNew) socket.setTimeout(this.#options.keepAliveMs)
      isNew = false
      this.#serve(line, request, onData).catch(onError)
    }
    const onEnd = () => {
      line.isLast = true
      if (line.state === 'idle') socket.end()
    }
    const onError = () => socket.destroy()
    const leave = () => {
      this.#lines.delete(line)
      socket.off('data', onData).off('end', onEnd).off('error', onError).off('timeout', onTimeout).off('close', leave)
    }
    this.#lines.add(line)
    socket.on('data', onData).on('end', onEnd).on('error', onError).on('timeout', onTimeout).on('close', leave)
    socket.setTimeout(headersMs)
  }

  /** Connections with a request under way are closed with its answer, the others at once. */
  leave(): void {
    this.#leaving = true
    for (const line of this.#lines) {
      if (line.state === 'idle') line.socket.destroy()
      else line.isLast = true
    }
  }

  destroyAll(): void {
    for (const { socket } of this.#lines) socket.destroy()
  }

  async #serve(line: Line, request: PlainRequest, next: (bytes: Buffer) => void): Promise<void> {
    const { socket } = line
    line.state = 'answering'
    const answer = await this.#options.answer(request)
    if (socket.destroyed) return
    const bytes = this.#write(answer, line.isLast || this.#leaving)
    if (line.isLast || this.#leaving) return void socket.end(bytes)
    line.state = 'writing'
    const goOn = () => {
      line.state = 'idle'
      if (line.early.length === 0) return
      const early = line.early.length === 1 ? line.early[0] : Buffer.concat(line.early)
      line.early = []
      socket.resume()
      if (early) next(early)
    }
    // Whoever sends without reading gets no further.
    if (socket.write(bytes)) goOn()
    else socket.once('drain', goOn)
  }

  #write({ status, headers, body }: HookAnswer, isLast: boolean): string {
    let head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`
    for (const name in headers) head += `${name}: ${checked(headers[name])}\r\n`
    return `${head}Date: ${this.#clock.date()}\r\n${isLast ? 'Connection: close\r\n' : this.#keepAlive}\r\n${body}`
  }
}

/** A line break in a value would end the header (CWE-113). node:http refuses it in the same way. */
function checked(value = ''): string {
  if (/[^\t\x20-\x7e]/.test(value)) throw new Error('a header cannot hold this value')
  return value
}

/** The date as HTTP writes it, made once a second. */
class HttpClock {
  #second = 0
  #text = ''

  date(): string {
    const second = Math.floor(Date.now() / 1_000)
    if (second !== this.#second) {
      this.#second = second
      this.#text = new Date(second * 1_000).toUTCString()
    }
    return this.#text
  }
}
