import express, { type Request, type Response, Router } from 'express'
import { z } from 'zod'
import { MillraceError } from '../errors.ts'
import type { Sink } from '../live/channel.ts'
import type { Hub } from '../live/hub.ts'
import type { Store } from '../live/messages.ts'
import { readToken } from '../live/position.ts'
import { jobsWord, meansQueue, mostPatterns, type Pattern, patternOf } from '../live/topics.ts'
import { bearerOf, type Gatekeeper, oneTenant, requireRole } from './auth.ts'
import { parse } from './parse.ts'

const streamQuery = z.strictObject({
  topic: z.union(
    [z.string(), z.array(z.string())],
    'say what you want to hear: topic=orders.*, or topic=> for everything',
  ),
  tenant: z.string().min(1).optional(),
})
const publishBody = z.strictObject({
  topic: z.string(),
  data: z.unknown().optional(),
  tenant: z.string().min(1).optional(),
})
/** 64 KB of data, with escapes that are shorter in JSON as we write it. */
const bodyLimit = '512kb'
/** After the end, time for the client to read what was written. */
const lingerMs = 500

/** Live updates: who listens, and what is said to him. */
export function streamRoutes({
  hub,
  store,
  queues,
  states,
  gatekeeper,
}: {
  hub: Hub
  store: Store
  /** Names of those that tell of their jobs, and what they tell. */
  queues: readonly string[]
  states: readonly string[]
  gatekeeper: Gatekeeper
}): { readonly stream: Router; readonly publish: Router } {
  const [stream, publish] = [Router(), Router()]

  stream.get('/stream', (request, response) => {
    const query = parse(streamQuery, request.query)
    const tenant = oneTenant(gatekeeper.require(request), query.tenant)
    const patterns = patternsOf([query.topic].flat())
    const id = request.headers['last-event-id']
    const places = id === undefined || id === '' ? new Map() : readToken(String(id))
    // Nobody would tell when he leaves: the end of a connection is the end only of the answer that it is at.
    if (!response.socket)
      throw new MillraceError('bad-request', 'a stream needs a connection of its own: wait for the answers before it')
    // Gone while his session was looked up; that he leaves has been said already.
    if (response.closed) return
    hub.checkRoom()
    open(response)
    if (request.method === 'HEAD') return void response.end()
    const leave = hub.join({ tenant, patterns }, places, sinkOf(response), () => mayListen(request))
    response.once('close', leave)
  })

  publish.post('/publish', express.json({ limit: bodyLimit, type: () => true }), async (request, response) => {
    const caller = gatekeeper.require(request)
    requireRole(caller, 'operator')
    const { topic, data, tenant } = parse(publishBody, request.body)
    response.status(201).json({ id: await store(oneTenant(caller, tenant), topic, data) })
  })

  return { stream, publish }

  function patternsOf(texts: readonly string[]): Pattern[] {
    if (texts.length > mostPatterns)
      throw new MillraceError('bad-request', `${texts.length} topics; at most ${mostPatterns}`)
    return texts.map((text) => {
      const pattern = patternOf(text)
      const [first, queue, state] = pattern
      if (first !== jobsWord) return pattern
      // Whoever misspells a queue would wait for ever.
      if (!queues.some((name) => meansQueue(pattern, name))) {
        const isQueue = queue === undefined || queue === '*' || queue === '>' || queues.includes(String(queue))
        throw isQueue
          ? new MillraceError('bad-request', `topic '${text}': write ${jobsWord}.<queue>.<state>; each may be *`)
          : new MillraceError('unknown-queue', `topic '${text}': there is no queue ${JSON.stringify(queue ?? '')}`)
      }
      if (state !== undefined && state !== '*' && state !== '>' && !states.includes(state))
        throw new MillraceError('bad-request', `topic '${text}': ${state} is none of ${states.join(', ')}`)
      return pattern
    })
  }

  /** Whether the key is still there and, for a browser, the session. */
  async function mayListen(request: Request): Promise<boolean> {
    if (!gatekeeper.caller(request)) return false
    if (bearerOf(request) !== undefined) return true
    return new Promise((resolve, reject) =>
      request.sessionStore.get(request.sessionID, (error, session) =>
        error ? reject(error) : resolve(session?.keyId === request.session.keyId),
      ),
    )
  }
}

/** Its end is the end of the connection: parts with lengths of their own would have to be written for each client. */
function open(response: Response): void {
  response.removeHeader('Transfer-Encoding')
  response.writeHead(200, {
    'Content-Type': 'text/event-stream; charset=utf-8',
    'Cache-Control': 'no-store',
    'X-Accel-Buffering': 'no',
    Connection: 'close',
  })
  response.flushHeaders()
}

function sinkOf(response: Response): Sink {
  return {
    write: (bytes) => void response.write(bytes),
    get buffered() {
      return response.writableLength
    },
    drained: () =>
      response.writableNeedDrain ? new Promise((resolve) => response.once('drain', resolve)) : Promise.resolve(),
    // Not response.end(): for a browser that would ask the store to keep the session, which may be away.
    end: () => {
      response.socket?.end()
      setTimeout(() => response.socket?.destroy(), lingerMs).unref()
    },
    cut: () => void response.socket?.destroy(),
  }
}
