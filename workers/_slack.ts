import { z } from 'zod'
import { defer, drop, type Outcome } from '../src/index.ts'

/** An address that can be asked. */
export const httpUrl = z.url({ protocol: /^https?$/, error: 'must be a URL with http or https' })

/** What workers need to talk to Slack. Without a token they log what they would say. */
export const slackSettings = z.object({
  SLACK_BOT_TOKEN: z.string().min(1).optional(),
  SLACK_API_URL: httpUrl.default('https://slack.com/api'),
})

export type SlackSettings = z.infer<typeof slackSettings>

/** Slack's own limit for an answer is about 30 s; ours leaves time for another attempt. */
const timeoutMs = 10_000

/**
 * Calls a method of Slack's Web API (https://docs.slack.dev/apis/web-api). Throws when Slack could not be reached, and
 * with `slack: <error>` when it refused; neither message holds the token.
 */
async function callSlack(settings: SlackSettings, method: string, body: object, signal: AbortSignal): Promise<void> {
  const response = await fetch(`${settings.SLACK_API_URL.replace(/\/$/, '')}/${method}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${settings.SLACK_BOT_TOKEN}`, 'Content-Type': 'application/json; charset=utf-8' },
    body: JSON.stringify(body),
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  })
  if (response.status === 429) throw new SlackBusy(Number(response.headers.get('retry-after') ?? 30))
  if (!response.ok) throw new Error(`slack: HTTP ${response.status} from ${method}`)
  const answer = (await response.json()) as { ok?: boolean; error?: string }
  if (!answer.ok) throw new SlackRefused(method, answer.error ?? 'unknown_error')
}

/**
 * Posts a message. Undefined when it is said, otherwise what is to become of the job: to be deferred as long as Slack asks,
 * or dropped when Slack will never take it. Throws what another attempt may mend.
 */
export async function sayInSlack(
  settings: SlackSettings,
  message: { channel: string; text: string; thread_ts?: string; unfurl_links?: boolean },
  signal: AbortSignal,
): Promise<Outcome | undefined> {
  try {
    await callSlack(settings, 'chat.postMessage', message, signal)
    return undefined
  } catch (error) {
    if (error instanceof SlackBusy) return defer(`${error.retryAfter}s`, error.message)
    if (error instanceof SlackRefused && error.isFinal) return drop(error.message)
    throw error
  }
}

/** The three characters that mean something to Slack. Unescaped, somebody's title could call a whole channel together. */
export function escapeForSlack(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
}

/** Slack asks to wait this many seconds. */
class SlackBusy extends Error {
  readonly retryAfter: number
  constructor(retryAfter: number) {
    super(`slack: rate limited for ${retryAfter} s`)
    this.name = 'SlackBusy'
    this.retryAfter = Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter : 30
  }
}

/** Slack understood and said no. `isFinal` when the same call would get the same answer. */
class SlackRefused extends Error {
  readonly isFinal: boolean
  constructor(method: string, error: string) {
    super(`slack: ${method} answered ${error}`)
    this.name = 'SlackRefused'
    this.isFinal = isFinalForSlack(error)
  }
}

/** Whether a message that was refused with this word would be refused again. */
export function isFinalForSlack(error: string): boolean {
  return finalErrors.has(error)
}

const finalErrors = new Set([
  'channel_not_found',
  'not_in_channel',
  'is_archived',
  'no_text',
  'msg_too_long',
  'restricted_action',
])
