import { z } from 'zod'

/** What workers need to talk to Slack. Without a token they log what they would say. */
export const slackSettings = z.object({
  SLACK_BOT_TOKEN: z.string().min(1).optional(),
  SLACK_API_URL: z.url('must be a URL').default('https://slack.com/api'),
})

export type SlackSettings = z.infer<typeof slackSettings>

/** Slack's own limit for an answer is about 30 s; ours leaves time for another attempt. */
const timeoutMs = 10_000

/**
 * Calls a method of Slack's Web API (https://docs.slack.dev/apis/web-api). Throws when Slack could not be reached, and
 * with `slack: <error>` when it refused; neither message holds the token.
 */
export async function callSlack(
  settings: SlackSettings,
  method: string,
  body: object,
  signal: AbortSignal,
): Promise<void> {
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

/** Slack asks to wait this many seconds. */
export class SlackBusy extends Error {
  readonly retryAfter: number
  constructor(retryAfter: number) {
    super(`slack: rate limited for ${retryAfter} s`)
    this.name = 'SlackBusy'
    this.retryAfter = Number.isFinite(retryAfter) && retryAfter > 0 ? retryAfter : 30
  }
}

/** Slack understood and said no. `isFinal` when the same call would get the same answer. */
export class SlackRefused extends Error {
  readonly isFinal: boolean
  constructor(method: string, error: string) {
    super(`slack: ${method} answered ${error}`)
    this.name = 'SlackRefused'
    this.isFinal = [
      'channel_not_found',
      'not_in_channel',
      'is_archived',
      'no_text',
      'msg_too_long',
      'restricted_action',
    ].includes(error)
  }
}
