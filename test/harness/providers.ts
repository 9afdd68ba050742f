import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/*
 * Slack, Notion and Linear in one small server: what the assistant asks them for, with a memory of its own for each token, and with
 * the ways in which they fail.
 */

export type ProviderName = 'slack' | 'notion' | 'linear'
export type Call = {
  readonly provider: ProviderName
  /** Without its query. */
  readonly path: string
  readonly query: URLSearchParams
  readonly token: string
  readonly body: Record<string, unknown>
  /** Milliseconds since the epoch. */
  readonly at: number
}
export type Behaviour = {
  /** Answered with instead of 200; 0 breaks the connection off. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: unknown
  /** Answers only after `release()`, or never. */
  readonly hangs?: boolean
  readonly latencyMs?: number
  /** For so many calls; for all when not given. */
  readonly times?: number
  /** Only calls whose path ends so. */
  readonly path?: string
  /** Only calls whose body holds this. */
  readonly saying?: string
  /** It is done first, and the failure comes after. */
  readonly afterwards?: boolean
}
export type Posted = {
  readonly channel: string
  readonly thread_ts: string
  readonly text: string
  readonly ts: string
}

export type Providers = {
  readonly url: string
  /** The settings with which the assistant asks here. */
  readonly env: Readonly<Record<string, string>>
  readonly calls: readonly Call[]
  callsOf(provider: ProviderName, path?: string): readonly Call[]
  /** What was said in Slack, in order. */
  readonly posted: readonly Posted[]
  /** The titles that a token's Notion and Linear hold. */
  tasks(token?: string): readonly string[]
  issues(token?: string): readonly string[]
  /** From now on; without one it is well again. */
  behave(provider: ProviderName, behaviour?: Behaviour): void
  /** Lets calls that hang go on. */
  release(): void
  stop(): Promise<void>
}

type World = { tasks: { title: string; url: string; at: string }[]; issues: Map<string, Record<string, string>> }

export async function startProviders(): Promise<Providers> {
  const calls: Call[] = []
  const posted: (Posted & { metadata?: unknown })[] = []
  const behaviours = new Map<ProviderName, Behaviour & { left: number }>()
  const worlds = new Map<string, World>()
  const waiting = new Set<() => void>()
  const worldOf = (token: string): World => {
    const world = worlds.get(token) ?? {
      tasks: [{ title: 'Water the plants', url: 'https://notion.test/plants', at: '2020-01-01T00:00:00.000Z' }],
      issues: new Map([
        ['i-1', { identifier: 'ENG-1', title: 'The login page is slow', url: 'https://linear.test/ENG-1' }],
      ]),
    }
    worlds.set(token, world)
    return world
  }
  const act = { slack: actSlack(posted), notion: actNotion(worldOf), linear: actLinear(worldOf) }

  const server = createServer(async (request, response) => {
    const call = await read(request)
    calls.push(call)
    const behaviour = behaviours.get(call.provider)
    const fits = ({ path = '', saying = '', left }: Behaviour & { left: number }) =>
      left > 0 && call.path.endsWith(path) && JSON.stringify(call.body).includes(saying)
    if (!behaviour || !fits(behaviour)) return answer(response, 200, act[call.provider](call))
    behaviour.left -= 1
    const before = behaviour.afterwards ? act[call.provider](call) : undefined
    if (behaviour.hangs)
      await new Promise<void>((resolve) => {
        waiting.add(resolve)
        response.once('close', resolve)
      })
    if (behaviour.latencyMs) await new Promise((resolve) => setTimeout(resolve, behaviour.latencyMs))
    const done = behaviour.afterwards || behaviour.status !== undefined ? before : act[call.provider](call)
    if (behaviour.status === 0) return void response.destroy()
    answer(response, behaviour.status ?? 200, behaviour.body ?? done, behaviour.headers)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const release = () => {
    for (const resolve of waiting) resolve()
    waiting.clear()
  }

  return {
    url,
    env: {
      SLACK_BOT_TOKEN: 'xoxb-test',
      SLACK_API_URL: `${url}/slack`,
      NOTION_TOKEN: 'notion-test',
      NOTION_API_URL: `${url}/notion`,
      LINEAR_API_KEY: 'linear-test',
      LINEAR_API_URL: `${url}/linear`,
    },
    calls,
    callsOf: (provider, path = '') => calls.filter((call) => call.provider === provider && call.path.endsWith(path)),
    posted,
    tasks: (token = 'notion-test') => worldOf(token).tasks.map(({ title }) => title),
    issues: (token = 'linear-test') => [...worldOf(token).issues.values()].map(({ title }) => title ?? ''),
    behave: (provider, behaviour) => {
      if (behaviour) behaviours.set(provider, { ...behaviour, left: behaviour.times ?? Number.POSITIVE_INFINITY })
      else behaviours.delete(provider)
    },
    release,
    stop: async () => {
      release()
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function read(request: IncomingMessage): Promise<Call> {
  const at = Date.now()
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const { pathname, searchParams } = new URL(request.url ?? '/', 'http://x')
  const [, provider = '', ...path] = pathname.split('/')
  return {
    provider: provider as ProviderName,
    path: `/${path.join('/')}`,
    query: searchParams,
    token: (request.headers.authorization ?? '').replace('Bearer ', ''),
    body: chunks.length > 0 ? JSON.parse(Buffer.concat(chunks).toString()) : {},
    at,
  }
}

function answer(response: ServerResponse, status: number, body: unknown, headers = {}): void {
  response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(body ?? {}))
}

function actSlack(posted: (Posted & { metadata?: unknown })[]) {
  let serial = 0
  return ({ path, query, body }: Call): unknown => {
    if (path === '/chat.postMessage') {
      serial += 1
      const { channel, thread_ts, text, metadata } = body as unknown as Posted & { metadata: unknown }
      posted.push({
        channel,
        thread_ts,
        text,
        metadata,
        ts: `${Math.ceil(Date.now() / 1_000)}.${String(900_000 + serial)}`,
      })
      return { ok: true, channel, ts: posted.at(-1)?.ts }
    }
    if (path === '/conversations.replies') {
      const here = ({ channel, thread_ts, ts }: Posted) =>
        channel === query.get('channel') && thread_ts === query.get('ts') && Number(ts) > Number(query.get('oldest'))
      return { ok: true, messages: [{ ts: query.get('ts'), text: 'the question' }, ...posted.filter(here)] }
    }
    if (path === '/conversations.list')
      return { ok: true, channels: ['general', 'random'].map((name, n) => ({ id: `C${n}`, name })) }
    return { ok: false, error: 'unknown_method' }
  }
}

function actNotion(worldOf: (token: string) => World) {
  const text = (content: string) => [{ plain_text: content }]
  return ({ path, token, body }: Call): unknown => {
    const world = worldOf(token)
    if (path === '/v1/search') {
      const properties = { Title: { type: 'title' }, Status: { type: 'status' } }
      return { results: [{ id: 'db-1', title: text('Team tasks'), properties }] }
    }
    if (path === '/v1/databases/db-1/query') {
      const { filter } = body as {
        filter?: { and: [{ title: { equals: string } }, { created_time: { on_or_after: string } }] }
      }
      const fits = ({ title, at }: { title: string; at: string }) =>
        !filter || (title === filter.and[0].title.equals && at >= filter.and[1].created_time.on_or_after)
      const page = ({ title, url }: { title: string; url: string }) => ({
        url,
        properties: { Title: { type: 'title', title: text(title) } },
      })
      return { results: world.tasks.filter(fits).map(page) }
    }
    const { properties } = body as { properties: { Title: { title: [{ text: { content: string } }] } } }
    const title = properties.Title.title[0].text.content
    const url = `https://notion.test/${encodeURIComponent(title)}`
    // Notion's times are whole minutes.
    world.tasks.push({ title, url, at: `${new Date().toISOString().slice(0, 16)}:00.000Z` })
    return { url, properties: { Title: { type: 'title', title: text(title) } } }
  }
}

function actLinear(worldOf: (token: string) => World) {
  return ({ token, body }: Call): unknown => {
    const { issues } = worldOf(token)
    const { query, variables } = body as { query: string; variables: Record<string, never> }
    if (query.includes('teams(')) return { data: { teams: { nodes: [{ id: 't-1', name: 'Engineering' }] } } }
    if (query.includes('issueCreate')) {
      const { id, title } = variables.input as unknown as { id: string; title: string }
      if (issues.has(id)) return { errors: [{ extensions: { code: 'INPUT_ERROR' } }] }
      const issue = { identifier: `ENG-${issues.size + 1}`, title, url: `https://linear.test/ENG-${issues.size + 1}` }
      issues.set(id, issue)
      return { data: { issueCreate: { issue } } }
    }
    if (query.includes('issue(id')) {
      const issue = issues.get(String(variables.id))
      return issue ? { data: { issue } } : { errors: [{ extensions: { code: 'ENTITY_NOT_FOUND' } }] }
    }
    const words = (variables.filter as { title?: { containsIgnoreCase: string } } | undefined)?.title
      ?.containsIgnoreCase
    const fits = (title = '') => words === undefined || title.toLowerCase().includes(words.toLowerCase())
    return { data: { issues: { nodes: [...issues.values()].filter(({ title }) => fits(title)) } } }
  }
}
