import { randomInt, randomUUID } from 'node:crypto'
import { capitals, hex, type Sample, type SampleMaker } from './sample.ts'

/*
 * What Slack's Events API sends: the envelope of docs.slack.dev/apis/events-api and the events of
 * docs.slack.dev/reference/events.
 */

export const team = 'T0MILLRACE'
export const app = 'A0MILLRACE'
export const bot = 'U0MILLRACE'
export const user = 'U0SENDER01'
export const channel = 'C0GENERAL1'

/** An event without event_ts, and without its type where that is the sample's name. */
type Inner = Readonly<Record<string, unknown>> & { readonly type?: string; readonly subtype?: string }

const events: Readonly<Record<string, (ts: string, now: number) => Inner>> = {
  app_mention: (ts) => ({ ...said(ts, `<@${bot}> is it lunch yet?`), team, channel }),
  message: (ts) => ({ ...said(ts, 'Good morning, everybody'), team, channel, channel_type: 'channel' }),
  'message.im': (ts) => ({
    type: 'message',
    ...said(ts, 'Hello there'),
    team,
    channel: 'D0DIRECT01',
    channel_type: 'im',
  }),
  'message.thread': (ts, now) => ({
    type: 'message',
    ...said(ts, 'I could eat'),
    team,
    channel,
    channel_type: 'channel',
    thread_ts: slackTime(now - 60_000),
    parent_user_id: bot,
  }),
  message_changed: (ts, now) => {
    const first = { type: 'message', ...said(slackTime(now - 60_000), 'Lunhc?'), team }
    return {
      type: 'message',
      subtype: 'message_changed',
      hidden: true,
      channel,
      channel_type: 'channel',
      ts,
      message: { ...first, text: 'Lunch?', edited: { user, ts } },
      previous_message: first,
    }
  },
  message_deleted: (ts, now) => {
    const gone = slackTime(now - 60_000)
    return {
      type: 'message',
      subtype: 'message_deleted',
      hidden: true,
      channel,
      channel_type: 'channel',
      ts,
      deleted_ts: gone,
      previous_message: { type: 'message', ...said(gone, 'Oops'), team },
    }
  },
  reaction_added: (_ts, now) => reaction(now),
  reaction_removed: (_ts, now) => reaction(now),
  // What reaction_added was called here at first.
  reaction: (_ts, now) => ({ type: 'reaction_added', ...reaction(now) }),
  member_joined_channel: () => ({ user, channel, channel_type: 'C', team, inviter: bot }),
  channel_created: (_ts, now) => {
    const name = `project-${hex(3)}`
    return {
      channel: {
        id: `C${capitals(9)}`,
        name,
        name_normalized: name,
        created: seconds(now),
        creator: user,
        context_team_id: team,
        is_channel: true,
        is_group: false,
        is_im: false,
        is_mpim: false,
        is_private: false,
        is_general: false,
        is_archived: false,
        is_frozen: false,
        is_shared: false,
        is_org_shared: false,
        is_ext_shared: false,
        is_pending_ext_shared: false,
      },
    }
  },
  team_join: (_ts, now) => ({ user: newcomer(now), cache_ts: seconds(now) }),
  app_home_opened: () => ({ user, channel: 'D0DIRECT01', tab: 'home' }),
  file_shared: () => {
    const id = `F${capitals(9)}`
    return { file_id: id, user_id: user, file: { id }, channel_id: channel }
  },
  link_shared: (_ts, now) => ({
    user,
    channel,
    message_ts: slackTime(now),
    is_bot_user_member: true,
    unfurl_id: `${channel}-${slackTime(now)}-${hex(16)}`,
    source: 'conversations_history',
    links: [{ domain: 'example.com', url: `https://example.com/articles/${hex(3)}` }],
  }),
  app_uninstalled: () => ({}),
}

export const slackEvents: Readonly<Record<string, SampleMaker>> = {
  ...Object.fromEntries(Object.entries(events).map(([name, make]) => [name, maker(name, make)])),
  app_rate_limited: (now) => {
    const minute = seconds(now)
    return json(`rate-limited:${minute}`, 'app_rate_limited', {
      token: 'unused',
      type: 'app_rate_limited',
      team_id: team,
      minute_rate_limited: minute,
      api_app_id: app,
    })
  },
  url_verification: () => {
    const challenge = hex(26)
    return json(challenge, 'url_verification', { token: 'unused', challenge, type: 'url_verification' })
  },
}

function maker(name: string, make: (ts: string, now: number) => Inner): SampleMaker {
  return (now) => {
    const ts = slackTime(now)
    // A message's ts is its event_ts, as with Slack.
    const inner = make(ts, now)
    const type = inner.type ?? name
    const event = { ...inner, type, event_ts: ts }
    const id = `Ev${capitals(11)}`
    return json(id, inner.subtype ? `${type}.${inner.subtype}` : type, {
      token: 'unused',
      team_id: team,
      context_team_id: team,
      context_enterprise_id: null,
      api_app_id: app,
      event,
      type: 'event_callback',
      event_id: id,
      event_time: seconds(now),
      authorizations: [
        { enterprise_id: null, team_id: team, user_id: bot, is_bot: true, is_enterprise_install: false },
      ],
      is_ext_shared_channel: false,
      event_context: `4-${Buffer.from(id).toString('base64url')}`,
    })
  }
}

function json(id: string, type: string, body: object): Sample {
  return { id, type, contentType: 'application/json', body: JSON.stringify(body) }
}

function said(ts: string, text: string) {
  return { user, text, ts, client_msg_id: randomUUID() }
}

function reaction(now: number): Inner {
  const item = { type: 'message', channel, ts: slackTime(now - 60_000) }
  return { user, reaction: 'tada', item_user: bot, item }
}

function newcomer(now: number) {
  const images = [24, 32, 48, 72, 192, 512].map((size) => [`image_${size}`, `https://example.com/avatar_${size}.png`])
  return {
    id: `U${capitals(9)}`,
    team_id: team,
    name: 'newcomer',
    deleted: false,
    color: '9f69e7',
    real_name: 'Newcomer Example',
    tz: 'Europe/Amsterdam',
    tz_label: 'Central European Time',
    tz_offset: 3_600,
    profile: {
      ...Object.fromEntries(images),
      title: '',
      phone: '',
      skype: '',
      real_name: 'Newcomer Example',
      real_name_normalized: 'Newcomer Example',
      display_name: 'newcomer',
      display_name_normalized: 'newcomer',
      first_name: 'Newcomer',
      last_name: 'Example',
      email: 'newcomer@example.com',
      status_text: '',
      status_text_canonical: '',
      status_emoji: '',
      status_emoji_display_info: [],
      status_expiration: 0,
      avatar_hash: hex(6),
      fields: null,
      team,
    },
    is_admin: false,
    is_owner: false,
    is_primary_owner: false,
    is_restricted: false,
    is_ultra_restricted: false,
    is_bot: false,
    is_app_user: false,
    is_email_confirmed: true,
    locale: 'en-US',
    updated: seconds(now),
    who_can_share_contact_card: 'EVERYONE',
  }
}

export function seconds(now: number): number {
  return Math.floor(now / 1_000)
}

let lastMicro = 0

/**
 * Seconds with six decimals, which is how Slack names a message and an event. Never the same twice in this process, many
 * as there may be in one millisecond: an event of the same team, channel and time would be taken for a repeat.
 */
export function slackTime(now: number): string {
  const micro = now * 1_000 + randomInt(1_000)
  // A moment of the past names something else, and must not hold up the present.
  if (now < Math.floor(lastMicro / 1_000) - 1_000) return timeText(micro)
  lastMicro = Math.max(lastMicro + 1, micro)
  return timeText(lastMicro)
}

function timeText(micro: number): string {
  return `${Math.floor(micro / 1_000_000)}.${String(micro % 1_000_000).padStart(6, '0')}`
}
