import slackEvents from '../queues/slack-events.ts'
import { defineWorker } from '../src/index.ts'
import { sayInSlack, slackSettings } from './_slack.ts'

/** Answers mentions, and direct messages, in their thread. Everything else is acknowledged and noted. */
export default defineWorker(
  slackEvents,
  async ({ payload, name }, { settings, log, signal }) => {
    const event = payload.event ?? { type: payload.type }
    const reply = replyTo(event)
    if (!reply) {
      log.debug({ type: name }, 'nothing to answer')
      return { answered: false }
    }
    if (!settings.SLACK_BOT_TOKEN) {
      log.info({ ...reply }, 'would say this in Slack; set SLACK_BOT_TOKEN to have it said')
      return { answered: false, wouldSay: reply.text }
    }
    return (await sayInSlack(settings, reply, signal)) ?? { answered: true }
  },
  { concurrency: 20, timeout: '30s', settings: slackSettings },
)

type Reply = { channel: string; thread_ts: string; text: string }

/**
 * Mentions anywhere and messages in direct conversations. Messages of bots are left alone, our own among them, or two
 * bots would talk for ever; so are edits and joins, which carry a subtype.
 */
function replyTo(event: Record<string, unknown>): Reply | undefined {
  const { type, channel, ts, thread_ts: thread, user, text } = event
  const isDirect = type === 'message' && event.channel_type === 'im'
  if (type !== 'app_mention' && !isDirect) return undefined
  if (event.bot_id !== undefined || event.subtype !== undefined) return undefined
  if (typeof channel !== 'string' || typeof ts !== 'string') return undefined
  const said = (typeof text === 'string' ? text : '').replace(/<@[\w|.-]+>/g, '').trim()
  const greeting = typeof user === 'string' ? `<@${user}> ` : ''
  return {
    channel,
    thread_ts: typeof thread === 'string' ? thread : ts,
    text: `${greeting}${said ? `I heard you: ${said.slice(0, 500)}` : 'How can I help?'}`,
  }
}
