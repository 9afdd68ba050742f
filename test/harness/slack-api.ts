import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

export type Said = { method: string; token: string; message: Record<string, unknown> }

export type SlackApi = {
  readonly url: string
  /** What was said to it, in order. */
  readonly said: Said[]
  /** What it answers from now on. */
  answer(body: object, status?: number, headers?: Record<string, string>): void
  stop(): Promise<void>
}

/** Slack's Web API, as far as workers use it. */
export async function startSlackApi(): Promise<SlackApi> {
  const said: Said[] = []
  let reply = { body: { ok: true } as object, status: 200, headers: {} as Record<string, string> }
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const token = (request.headers.authorization ?? '').replace('Bearer ', '')
    said.push({ method: (request.url ?? '').slice(1), token, message: JSON.parse(Buffer.concat(chunks).toString()) })
    response.writeHead(reply.status, reply.headers).end(JSON.stringify(reply.body))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    said,
    answer: (body, status = 200, headers = {}) => {
      reply = { body, status, headers }
    },
    stop: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}
