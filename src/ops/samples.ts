/*
 * Requests as Slack sends them, for trying things out: shapes after docs.slack.dev/reference/events and
 * /interactivity/implementing-slash-commands, with ids of nobody.
 */

export type Sample = { readonly contentType: string; readonly body: string; readonly id: string }

type SampleMaker = (id: string, now: number) => Sample

const team = 'T0MILLRACE'
const user = 'U0SENDER01'
const channel = 'C0GENERAL1'

export const slackSamples: Readonly<Record<string, SampleMaker>> = {
  app_mention: (id, now) =>
    event(id, now, { type: 'app_mention', user, text: '<@U0MILLRACE> is it lunch yet?', channel }),
  message: (id, now) =>
    event(id, now, { type: 'message', channel_type: 'im', user, text: 'Hello there', channel: 'D0DIRECT01' }),
  reaction: (id, now) =>
    event(id, now, {
      type: 'reaction_added',
      user,
      reaction: 'tada',
      item_user: 'U0MILLRACE',
      item: { type: 'message', channel, ts: slackTime(now - 60_000) },
    }),
  command: (id) => {
    const fields = {
      token: 'unused',
      team_id: team,
      team_domain: 'millrace',
      channel_id: channel,
      channel_name: 'general',
      user_id: user,
      user_name: 'sender',
      command: '/deploy',
      text: 'production',
      api_app_id: 'A0MILLRACE',
      is_enterprise_install: 'false',
      trigger_id: id,
    }
    return { id, contentType: 'application/x-www-form-urlencoded', body: new URLSearchParams(fields).toString() }
  },
}

function event(id: string, now: number, inner: object): Sample {
  const ts = slackTime(now)
  const body = {
    token: 'unused',
    team_id: team,
    api_app_id: 'A0MILLRACE',
    event: { ...inner, ts, event_ts: ts },
    type: 'event_callback',
    event_id: id,
    event_time: Math.floor(now / 1_000),
    authorizations: [
      { enterprise_id: null, team_id: team, user_id: 'U0MILLRACE', is_bot: true, is_enterprise_install: false },
    ],
    is_ext_shared_channel: false,
  }
  return { id, contentType: 'application/json', body: JSON.stringify(body) }
}

/** Seconds with six decimals, which is how Slack names a message. */
function slackTime(ms: number): string {
  return `${Math.floor(ms / 1_000)}.${String(ms % 1_000).padStart(3, '0')}000`
}
