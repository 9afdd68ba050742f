import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { HookAnswer } from './hooks.ts'
import { type PlainRequest, readPlain } from './plain-request.ts'

type Line = {
  readonly socket: Socket
  /** What came while the request before was being answered: a sender may pipeline. */
  early: Buffer[]
  /** `writing`: the sender has to read first. `closing`: it has got its last answer. */
  state: 'idle' | 'answering' | 'writing' | 'closing'
  /** The sender has closed its side, which does not mean that it hears no answer. */
  hasEnded: boolean
}

export type FastPathOptions = {
  readonly answer: (request: PlainRequest) => Promise<HookAnswer>
  readonly handOver: (socket: Socket) => void
  /** What a connection gets that said nothing in time. */
  readonly refuseSilent: (socket: Socket) => void
  readonly maxHeadBytes: number
  readonly headersMs: number
  readonly keepAliveMs: number
  /** A sender has this long to read what is written to it. Bytes that it sends meanwhile do not count as that. */
  readonly readMs: number
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
    const line: Line = { socket, early: [], state: 'idle', hasEnded: false }
    const { headersMs, refuseSilent } = this.#options
    let isNew = true
    const onTimeout = () => {
      if (line.state === 'answering') return
      if (!isNew || line.state !== 'idle') return void socket.destroy()
      line.state = 'closing'
      refuseSilent(socket)
    }
    const onData = (bytes: Buffer) => {
      if (line.state !== 'idle') {
        line.early.push(bytes)
        socket.pause()
        return
      }
      const request = readPlain(bytes, this.#options.maxHeadBytes)
      if (!request) {
        // It cannot become whole any more.
        if (line.hasEnded) return this.#close(line)
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
      line.hasEnded = true
      if (line.state === 'idle') this.#close(line)
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

  /** Connections with a request under way are closed with its answer, the others at once, or when theirs is sent. */
  leave(): void {
    this.#leaving = true
    for (const line of this.#lines) {
      if (line.state !== 'idle') continue
      if (line.socket.writableLength > 0) this.#close(line)
      else line.socket.destroy()
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
    const isLast = this.#leaving || (line.hasEnded && line.early.length === 0)
    const isRead = socket.write(this.#write(answer, isLast))
    if (isLast) return this.#close(line)
    const goOn = () => {
      if (this.#leaving) return this.#close(line)
      line.state = 'idle'
      const { early } = line
      line.early = []
      const [bytes] = early
      if (bytes) {
        socket.resume()
        next(early.length === 1 ? bytes : Buffer.concat(early))
      } else if (line.hasEnded) this.#close(line)
    }
    if (isRead) return goOn()
    // Whoever sends without reading gets no further.
    line.state = 'writing'
    const stop = cutOff(socket, this.#options.readMs)
    socket.once('drain', () => {
      stop()
      goOn()
    })
  }

  /** Ends a connection when everything is written, and does not wait for the sender to do the same. */
  #close(line: Line): void {
    line.state = 'closing'
    line.socket.destroySoon()
    if (!line.socket.destroyed) cutOff(line.socket, this.#options.readMs)
  }

  #write({ status, headers, body }: HookAnswer, isLast: boolean): string {
    let head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`
    for (const name in headers) head += `${name}: ${checked(headers[name])}\r\n`
    return `${head}Date: ${this.#clock.date()}\r\n${isLast ? 'Connection: close\r\n' : this.#keepAlive}\r\n${body}`
  }
}

/** Destroys a connection, unless it is told in time not to. */
function cutOff(socket: Socket, afterMs: number): () => void {
  const timer = setTimeout(() => socket.destroy(), afterMs).unref()
  const stop = () => clearTimeout(timer)
  socket.once('close', stop)
  return () => {
    stop()
    socket.off('close', stop)
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
