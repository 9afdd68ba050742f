import { createHmac } from 'node:crypto'
import slackEvents from '../../queues/slack-events.ts'
import { bullJobOptions, bullKeep } from '../../src/jobs/bull.ts'

/** What both sides agree on: the secret, the events, and the policy of the queue that takes them. */

export const signingSecret = '5d0f6c9be2a84b7c9c1d7e3fa02b4c68'
export const queueName = slackEvents.name
/** Slack may repeat an event for a day. */
export const dedupeMs = 25 * 3_600_000
/** Attempts, backoff and retention as the product's queue has them; the plain sides use the very same. */
export const jobOptions = bullJobOptions(slackEvents)
export const retention = {
  removeOnComplete: bullKeep(slackEvents.keep.completed),
  removeOnFail: bullKeep(slackEvents.keep.dead),
}

/** All ids have this length, so that a request can be changed in place. */
const idDigits = 9
export function eventId(serial: number): string {
  return `Ev${serial.toString(36).toUpperCase().padStart(idDigits, '0')}`
}

/** Each event has a time of its own, in microseconds, as Slack's have; of today, as Slack's are. */
const second = Math.floor(Date.now() / 1_000) - 3_600
export function eventTime(serial: number): string {
  return `${second + Math.floor(serial / 1e6)}.${String(serial % 1e6).padStart(6, '0')}`
}

/**
 * A mention as Slack delivers one, of about 1 KB. A bot's, which the assistant leaves alone: measured and proved with it is the way to
 * the handler, and not what that asks of others.
 */
export function mention(id: string, time: string = eventTime(0)): string {
  const text =
    '<@U0LAN0Z89> could you roll back release 2026.10.2 on staging? The checkout smoke test has been red since.'
  const words = text.slice('<@U0LAN0Z89>'.length)
  const elements = [
    { type: 'user', user_id: 'U0LAN0Z89' },
    { type: 'text', text: words },
  ]
  return JSON.stringify({
    token: 'XXYYZZ',
    team_id: 'T061EG9R6',
    context_team_id: 'T061EG9R6',
    context_enterprise_id: null,
    api_app_id: 'A0MDYCDME',
    event: {
      user: 'U061F7AUR',
      bot_id: 'B061F7AUR',
      type: 'app_mention',
      ts: time,
      client_msg_id: '7c2f1a70-53a9-4d0b-9a5e-0d6f1c7f8a11',
      text,
      team: 'T061EG9R6',
      blocks: [{ type: 'rich_text', block_id: 'Xq3vB', elements: [{ type: 'rich_text_section', elements }] }],
      channel: 'C123ABC456',
      event_ts: time,
    },
    type: 'event_callback',
    event_id: id,
    event_time: 1_515_449_522,
    authorizations: [
      { enterprise_id: null, team_id: 'T061EG9R6', user_id: 'U0LAN0Z89', is_bot: true, is_enterprise_install: false },
    ],
    is_ext_shared_channel: false,
    event_context: '4-eyJldCI6ImFwcF9tZW50aW9uIiwidGlkIjoiVDA2MUVHOVI2IiwiYWlkIjoiQTBNRFlDRE1FIn0',
  })
}

export function signature(timestamp: number, body: string): string {
  return `v0=${createHmac('sha256', signingSecret).update(`v0:${timestamp}:${body}`).digest('hex')}`
}
