import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { MillraceError } from '../errors.ts'
import type { Receiver } from '../ingest/receive.ts'
import type { HookReply } from '../ingest/request.ts'
import type { Logger } from '../observe/log.ts'
import type { Metrics } from '../observe/metrics.ts'
import { BodyReader } from './body.ts'
import { problemOf } from './problem.ts'

/** Five of GitHub's largest, or 128 of the usual limit. */
const bodiesBudget = 128 * 1024 ** 2
/** Parsing one of these takes long enough for others to notice. */
const largeBytes = 2 * 1024 ** 2
/** A flood of forgeries must not become a flood of lines. */
const refusalLogMs = 1_000

/**
 * POST /hooks/{source} on bare node:http, in front of Express: it is the one path where each microsecond counts, and it
 * needs nothing of what Express does. Everything of a provider is in ingest/; here is only HTTP.
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
}): (request: IncomingMessage, response: ServerResponse, path: string) => Promise<void> {
  const bodies = new BodyReader(bodiesBudget)
  let lastRefusal = 0
  /** The end of the large request before. */
  let large: Promise<unknown> = Promise.resolve()

  return async (request, response, path) => {
    const source = path.slice('/hooks/'.length).replace(/\/$/, '')
    const limit = receiver.limitOf(source)
    // Not the name from the URL: anybody could make up label values.
    const label = limit === undefined ? 'unknown' : source
    let body: Buffer | undefined
    try {
      if (limit === undefined) throw new MillraceError('unknown-source')
      if (request.method !== 'POST') throw new MillraceError('method-not-allowed')
      const encoding = request.headers['content-encoding']
      if (encoding !== undefined && encoding.toLowerCase() !== 'identity') throw new MillraceError('content-encoding')
      body = await bodies.read(request, limit)
      const began = performance.now()
      const { length } = body
      const hook = {
        source,
        body,
        now: now(),
        header: (name: string) => single(request.rawHeaders, name),
        count: (name: string) => occurrences(request.rawHeaders, name),
      }
      const receive = () => receiver.receive(hook)
      // Large ones go one after the other, with turns for everybody else between them.
      const receiving = length > largeBytes ? large.then(receive, receive) : receive()
      if (length > largeBytes) large = receiving
      const reply = await receiving
      metrics.eventsReceived.inc({ source: label, outcome: reply.outcome })
      metrics.eventAck.observe({ source: label }, (performance.now() - began) / 1_000)
      answer(response, reply)
    } catch (error) {
      refuse(request, response, error, label)
    } finally {
      if (body) bodies.release(body)
    }
  }

  function refuse(request: IncomingMessage, response: ServerResponse, error: unknown, source: string): void {
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
    if (response.headersSent || response.destroyed) return
    const headers = code === 'method-not-allowed' ? { Allow: 'POST' } : {}
    // Whatever was not read stays in the connection, so it cannot be used again.
    const { 'content-length': length, 'transfer-encoding': encoding } = request.headers
    const unread = !request.complete && (encoding !== undefined || Number(length ?? 0) > 0)
    answer(
      response,
      problemOf(error, { ...requestId, headers: unread ? { ...headers, Connection: 'close' } : headers }),
    )
    if (unread) dropRest(request)
  }
}

/** Reads away what is still coming for a moment, so that the sender gets to read the answer, then hangs up. */
function dropRest(request: IncomingMessage): void {
  request.resume()
  setTimeout(() => request.socket.destroy(), 500).unref()
}

function answer(
  response: ServerResponse,
  { status, headers, body }: Pick<HookReply, 'status' | 'headers' | 'body'>,
): void {
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
