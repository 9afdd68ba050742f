import { type Context, MillraceError, RateLimited } from '../src/index.ts'
import { type AssistantSettings, toolTimeoutMs } from './_settings.ts'

/*
 * One request to somebody else's API: with a timeout, behind a breaker, and with three ways to fail that callers tell
 * apart. ToolBusy: not now, and when. ToolFault: broken, try again. ToolRefused: no, and no again.
 */

/** Somebody whose API the assistant uses. */
export type Provider = {
  readonly name: 'notion' | 'slack' | 'linear'
  /** As people know it. */
  readonly title: string
  /** What its token is called: among the organization's secrets, or else among the settings. */
  readonly secret: 'NOTION_TOKEN' | 'SLACK_BOT_TOKEN' | 'LINEAR_API_KEY'
  readonly url: (settings: AssistantSettings) => string
  readonly headers: (token: string) => Readonly<Record<string, string>>
  /** What its body says, whatever the status: its word for a refusal, 'rate-limited', 'fault', or undefined for an answer. */
  readonly refusal: (body: unknown) => string | undefined
}

export type Request = {
  readonly path: string
  readonly method?: 'GET' | 'POST'
  readonly body?: object
}

/** What is needed to ask: the part of a handler's context that is used here. */
export type Asking = Pick<Context<AssistantSettings>, 'cache' | 'breakers' | 'secrets' | 'signal' | 'settings'>

/** It wants to be asked again later, and says when. */
export class ToolBusy extends RateLimited {
  readonly provider: Provider
  constructor(provider: Provider, retryAfter: number | string | null) {
    super(retryAfter)
    this.provider = provider
  }
}

/** `slow`: all the time there was is gone. `open`: not even asked, after many faults. */
type FaultKind = 'broken' | 'slow' | 'open' | 'unreachable'

/** It did not answer, or with an error of its own. */
export class ToolFault extends Error {
  readonly provider: Provider
  readonly kind: FaultKind
  /** Of an `open` one: when it is tried again, in seconds. */
  readonly retryAfter: number
  constructor(provider: Provider, kind: FaultKind, what: string, retryAfter = 0) {
    super(`${provider.name}: ${what}`)
    this.name = 'ToolFault'
    this.provider = provider
    this.kind = kind
    this.retryAfter = retryAfter
  }
}

/** It understood and said no; the same request would get the same answer. */
export class ToolRefused extends Error {
  readonly provider: Provider
  /** The provider's own word for it, such as `channel_not_found`. */
  readonly reason: string
  constructor(provider: Provider, reason: string) {
    super(`${provider.name}: refused with ${reason}`)
    this.name = 'ToolRefused'
    this.provider = provider
    this.reason = reason
  }
}

/** Why it refused, when nobody gave a token for it. */
export const notConnected = 'not-connected'

/** Whether what was asked for has certainly not been done. */
export function isSurelyUndone(error: unknown): boolean {
  if (error instanceof ToolFault) return error.kind === 'open' || error.kind === 'unreachable'
  return error instanceof ToolBusy || error instanceof ToolRefused
}

type Answer = { readonly status: number; readonly retryAfter: string | null; readonly body: unknown }

/** The organization's own, or everybody's. */
export async function tokenFor(
  { secret }: Provider,
  { secrets, settings }: Pick<Asking, 'secrets' | 'settings'>,
): Promise<string | undefined> {
  return (await secrets.get(secret)) ?? settings[secret]
}

/** The body of the answer. */
export async function ask(provider: Provider, request: Request, asking: Asking): Promise<unknown> {
  const token = await tokenFor(provider, asking)
  if (token === undefined) throw new ToolRefused(provider, notConnected)
  const holds = asking.cache.namespace('hold')
  const until = await holds.get<number>(provider.name)
  if (until !== undefined && until > Date.now()) throw new ToolBusy(provider, (until - Date.now()) / 1_000)

  // A fault is thrown inside the breaker, which counts it; a refusal is an answer, and says that the provider is well.
  const answer = await asking.breakers
    .run(provider.name, ({ signal }) => send(provider, request, { token, asking, signal }), {
      signal: asking.signal,
      // Ours comes first, and says whose answer it was.
      timeout: `${toolTimeoutMs(asking.settings) + 1_000}ms`,
    })
    .catch((error: unknown) => {
      if (!(error instanceof MillraceError) || error.code !== 'breaker-open') throw error
      throw new ToolFault(provider, 'open', 'rests after many faults', error.retryAfter)
    })
  const refusal = provider.refusal(answer.body)
  const { status, retryAfter } = answer
  if (status === 429 || refusal === 'rate-limited' || (status === 503 && retryAfter !== null)) {
    const limited = new ToolBusy(provider, retryAfter)
    // For the other jobs of this tenant: they need not ask to hear the same.
    await holds.set(provider.name, Date.now() + limited.ms, { ttl: `${Math.max(1, limited.ms)}ms` })
    throw limited
  }
  if (status >= 400 || refusal !== undefined) throw new ToolRefused(provider, refusal ?? `HTTP ${status}`)
  return answer.body
}

async function send(
  provider: Provider,
  { path, method = 'POST', body }: Request,
  { token, asking, signal }: { token: string; asking: Asking; signal: AbortSignal },
): Promise<Answer> {
  const timeout = AbortSignal.timeout(toolTimeoutMs(asking.settings))
  try {
    const response = await fetch(provider.url(asking.settings).replace(/\/$/, '') + path, {
      method,
      headers: { ...provider.headers(token), ...(body ? { 'Content-Type': 'application/json; charset=utf-8' } : {}) },
      signal: AbortSignal.any([asking.signal, signal, timeout]),
      ...(body ? { body: JSON.stringify(body) } : {}),
    })
    const text = await response.text()
    const retryAfter = response.headers.get('retry-after')
    if (response.status >= 500 && !(response.status === 503 && retryAfter !== null))
      throw new ToolFault(provider, 'broken', `HTTP ${response.status}`)
    const answer = parsed(text)
    if (provider.refusal(answer) === 'fault') throw new ToolFault(provider, 'broken', 'an error of its own')
    return { status: response.status, retryAfter, body: answer }
  } catch (error) {
    if (error instanceof ToolFault) throw error
    // The attempt itself is over: that is nobody's fault over there.
    asking.signal.throwIfAborted()
    if (timeout.aborted) throw new ToolFault(provider, 'slow', `no answer within ${asking.settings.TOOL_TIMEOUT}`)
    // `fetch failed` says nothing, and the error behind it may name an address with a secret in it: its code is enough.
    const code = codeOf((error as Error).cause) ?? codeOf(error) ?? (error as Error).name
    const kind = code === 'ECONNREFUSED' || code === 'ENOTFOUND' ? 'unreachable' : 'broken'
    throw new ToolFault(provider, kind, `cannot be reached (${code})`)
  }
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | undefined)?.code
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
