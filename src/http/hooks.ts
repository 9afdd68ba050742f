import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { MillraceError } from '../errors.ts'
import type { Receiver } from '../ingest/receive.ts'
import type { HookReply } from '../ingest/request.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { BodyReader, tooLarge } from './body.ts'
import type { PlainRequest } from './plain-request.ts'
import { problemOf } from './problem.ts'

/** Five of GitHub's largest, or 128 of the usual limit. */
const bodiesBudget = 128 * 1024 ** 2
/** Parsing one of these takes long enough for others to notice. */
const largeBytes = 2 * 1024 ** 2
/** A flood of forgeries must not become a flood of lines. */
const refusalLogMs = 1_000

/** What goes back. */
export type HookAnswer = Pick<HookReply, 'status' | 'headers' | 'body'>

/** POST /hooks/{source}, however its bytes came. */
export type Hooks = {
  /** Of a request that node:http reads. */
  readonly serve: (request: IncomingMessage, response: ServerResponse, path: string) => Promise<void>
  /** Of one that is read. Never rejects. */
  readonly answer: (request: PlainRequest) => Promise<HookAnswer>
}

/**
 * In front of Express: it is the one path where each microsecond counts, and it needs nothing of what Express does.
 * Everything of a provider is in ingest/; here is only HTTP.
 */
export function createHooks({
  receiver,
  metrics,
  log,
  now = Date.now,
}: {
  receiver: Receiver
  metrics: Metrics
  log: Logger
  now?: () => number
}): Hooks {
  const bodies = new BodyReader(bodiesBudget)
  let lastRefusal = 0
  /** The end of the large request before. */
  let large: Promise<unknown> = Promise.resolve()

  return {
    async serve(request, response, path) {
      const source = sourceIn(path)
      let body: Buffer
      try {
        const limit = limitOf(source)
        if (request.method !== 'POST') throw new MillraceError('method-not-allowed')
        const encoding = request.headers['content-encoding']
        if (encoding !== undefined && encoding.toLowerCase() !== 'identity') throw new MillraceError('content-encoding')
        body = await bodies.read(request, limit)
      } catch (error) {
        return refuse(request, response, error, source)
      }
      try {
        respond(response, await take(source, request.rawHeaders, body))
      } catch (error) {
        refuse(request, response, error, source)
      } finally {
        bodies.release(body)
      }
    },

    async answer({ path, rawHeaders, body }) {
      const source = sourceIn(path)
      bodies.hold(body)
      try {
        if (body.length > limitOf(source)) throw tooLarge(limitOf(source))
        return await take(source, rawHeaders, body)
      } catch (error) {
        return refusal(error, source, {})
      } finally {
        bodies.release(body)
      }
    },
  }

  async function take(source: string, rawHeaders: readonly string[], body: Buffer): Promise<HookReply> {
    const began = performance.now()
    const { length } = body
    const hook = {
      source,
      body,
      now: now(),
      header: (name: string) => single(rawHeaders, name),
      count: (name: string) => occurrences(rawHeaders, name),
    }
    const receive = () => receiver.receive(hook)
    // Large ones go one after the other, with turns for everybody else between them.
    const receiving = length > largeBytes ? large.then(receive, receive) : receive()
    if (length > largeBytes) large = receiving
    const reply = await receiving
    metrics.eventsReceived.inc({ source, outcome: reply.outcome })
    metrics.eventAck.observe({ source }, (performance.now() - began) / 1_000)
    return reply
  }

  function limitOf(source: string): number {
    const limit = receiver.limitOf(source)
    if (limit === undefined) throw new MillraceError('unknown-source')
    return limit
  }

  function refusal(error: unknown, named: string, headers: Record<string, string>): HookAnswer {
    // Not the name from the URL: anybody could make up label values.
    const source = receiver.limitOf(named) === undefined ? 'unknown' : named
    const code = error instanceof MillraceError ? error.code : 'internal'
    metrics.eventsReceived.inc({ source, outcome: code })
    const requestId = code === 'internal' ? { requestId: randomUUID() } : {}
    if (code === 'internal') log.error({ err: error, source, ...requestId }, 'hook failed')
    else if (Date.now() - lastRefusal > refusalLogMs) {
      lastRefusal = Date.now()
      log.warn(
        { source, code, ...(code === 'not-authentic' ? {} : { err: error }) },
        'hook refused; at most one line a second',
      )
    }
    return problemOf(error, {
      ...requestId,
      headers: code === 'method-not-allowed' ? { ...headers, Allow: 'POST' } : headers,
    })
  }

  function refuse(request: IncomingMessage, response: ServerResponse, error: unknown, source: string): void {
    // Whatever was not read stays in the connection, so it cannot be used again.
    const { 'content-length': length, 'transfer-encoding': encoding } = request.headers
    const unread = !request.complete && (encoding !== undefined || Number(length ?? 0) > 0)
    const problem = refusal(error, source, unread ? { Connection: 'close' } : {})
    if (response.headersSent || response.destroyed) return
    respond(response, problem)
    if (unread) dropRest(request)
  }
}

function sourceIn(path: string): string {
  return path.slice('/hooks/'.length).replace(/\/$/, '')
}

/** Reads away what is still coming for a moment, so that the sender gets to read the answer, then hangs up. */
function dropRest(request: IncomingMessage): void {
  request.resume()
  setTimeout(() => request.socket.destroy(), 500).unref()
}

function respond(response: ServerResponse, { status, headers, body }: HookAnswer): void {
  const list = ['Content-Length', String(Buffer.byteLength(body))]
  for (const [name, value] of Object.entries(headers)) list.push(name, value)
  response.writeHead(status, list)
  response.end(body)
}

/** `request.headers` joins or drops repeated headers; a repeated signature must be seen as what it is. */
function single(rawHeaders: readonly string[], name: string): string | undefined {
  let found: string | undefined
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (!isNamed(rawHeaders[i], name)) continue
    if (found !== undefined) return undefined
    found = rawHeaders[i + 1]
  }
  return found
}

function occurrences(rawHeaders: readonly string[], name: string): number {
  let count = 0
  for (let i = 0; i < rawHeaders.length; i += 2) if (isNamed(rawHeaders[i], name)) count += 1
  return count
}

/** Hardly any other header has the same length, and asking for that is cheaper. */
function isNamed(header: string | undefined, name: string): boolean {
  return header?.length === name.length && header.toLowerCase() === name
}
