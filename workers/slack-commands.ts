import slackCommands from '../queues/slack-commands.ts'
import { defineWorker } from '../src/index.ts'

/** Longest wait for Slack to take an answer. */
const timeoutMs = 10_000

/** Answers whoever typed the command or clicked, through the request's own response_url; nobody else sees it. */
export default defineWorker(
  slackCommands,
  async ({ payload, name }, { log, signal }) => {
    const text = payload.command ? `${payload.command} ${payload.text ?? ''}`.trim() : name.replace('interaction.', '')
    const answer = { response_type: 'ephemeral', replace_original: false, text: `Got it: ${text}` }
    if (!payload.response_url || !isSlack(payload.response_url)) {
      // Without what was typed after it: that is nobody's business who reads logs.
      log.info({ command: payload.command ?? name }, 'taken, but there is no response_url of Slack to answer to')
      return { answered: false }
    }
    const response = await fetch(payload.response_url, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(answer),
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    })
    // 404 and 410: used up or older than 30 minutes. Trying again cannot help, and nobody waits any more.
    if (response.status === 404 || response.status === 410) return { answered: false, expired: true }
    if (!response.ok) throw new Error(`slack: HTTP ${response.status} from response_url`)
    return { answered: true }
  },
  { concurrency: 20, timeout: '15s' },
)

/** The URL comes from outside. Posting wherever it says would let a stolen secret reach into our network. */
function isSlack(url: string): boolean {
  if (!URL.canParse(url)) return false
  const { protocol, hostname } = new URL(url)
  return protocol === 'https:' && (hostname === 'slack.com' || hostname.endsWith('.slack.com'))
}
