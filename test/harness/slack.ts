import { createHmac } from 'node:crypto'

export const slackSecret = '8f742231b10e8888abcd99yyyzzz85a5'

let serial = 0
/** An id that no other test of any process uses. */
export function freshId(prefix = 'Ev'): string {
  serial += 1
  return `${prefix}${process.pid.toString(36)}${Date.now().toString(36)}${serial.toString(36)}`
    .toUpperCase()
    .replace(/^EV/, 'Ev')
}

/** The headers of a genuine request. `at` in seconds. Written apart from src/, so that it can disagree with it. */
export function signedHeaders(
  body: string | Buffer,
  { secret = slackSecret, at = Math.floor(Date.now() / 1_000), type = 'application/json' } = {},
): Record<string, string> {
  const mac = createHmac('sha256', secret).update(`v0:${at}:`).update(body).digest('hex')
  return { 'content-type': type, 'x-slack-request-timestamp': String(at), 'x-slack-signature': `v0=${mac}` }
}

export function mention(eventId = freshId(), more: object = {}): string {
  return JSON.stringify({
    token: 'unused',
    team_id: 'T061EG9R6',
    api_app_id: 'A0MDYCDME',
    type: 'event_callback',
    event_id: eventId,
    event_time: 1_234_567_890,
    event: {
      type: 'app_mention',
      user: 'U061F7AUR',
      // The assistant leaves alone what apps say: its database takes seconds to make, in each folder anew.
      bot_id: 'B061FAPP1',
      text: '<@U0LAN0Z89> is it lunch yet?',
      ts: '1515449522.000016',
      channel: 'C123ABC456',
      event_ts: '1515449522.000016',
    },
    ...more,
  })
}

/** Sends a signed body to a running process. */
export function post(
  url: string,
  body: string | Buffer,
  options: Parameters<typeof signedHeaders>[1] & { headers?: Record<string, string> } = {},
): Promise<Response> {
  const { headers, ...signing } = options
  return fetch(`${url}/hooks/slack`, { method: 'POST', body, headers: { ...signedHeaders(body, signing), ...headers } })
}
