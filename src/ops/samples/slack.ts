import { capitals, hex, type Sample, type SampleMaker, serial } from './sample.ts'
import { app, channel, seconds, slackEvents, slackTime, team, user } from './slack-events.ts'

/*
 * Requests as Slack sends them: its events, and in this file what comes as a form, after
 * docs.slack.dev/interactivity/implementing-slash-commands and /reference/interaction-payloads. The response_urls are
 * nobody's, so that a worker that answers does not knock at Slack's door with a made-up address.
 */

const domain = 'millrace'

export const slack: Readonly<Record<string, SampleMaker>> = {
  ...slackEvents,
  command: (now) => {
    const fields = {
      token: 'unused',
      team_id: team,
      team_domain: domain,
      channel_id: channel,
      channel_name: 'general',
      user_id: user,
      user_name: 'sender',
      command: '/deploy',
      text: 'production',
      api_app_id: app,
      is_enterprise_install: 'false',
      response_url: responseUrl('commands'),
      trigger_id: triggerId(now),
    }
    return form(fields.trigger_id, 'command.deploy', fields)
  },
  block_actions: (now) =>
    interaction(now, 'block_actions', {
      api_app_id: app,
      user: { id: user, username: 'sender', name: 'sender', team_id: team },
      container: { type: 'message', message_ts: slackTime(now - 60_000), channel_id: channel, is_ephemeral: false },
      channel: { id: channel, name: 'general' },
      message: { type: 'message', user, ts: slackTime(now - 60_000), text: 'Ship it?' },
      state: { values: {} },
      response_url: responseUrl('actions'),
      actions: [
        {
          type: 'button',
          block_id: 'choice',
          action_id: 'approve',
          text: { type: 'plain_text', text: 'Approve', emoji: true },
          value: hex(4),
          action_ts: slackTime(now),
        },
      ],
    }),
  view_submission: (now) =>
    interaction(now, 'view_submission', {
      api_app_id: app,
      user: { id: user, username: 'sender', name: 'sender', team_id: team },
      view: view(now),
      response_urls: [],
    }),
  view_closed: (now) =>
    interaction(now, 'view_closed', {
      api_app_id: app,
      user: { id: user, username: 'sender', name: 'sender', team_id: team },
      view: view(now),
      is_cleared: false,
    }),
  shortcut: (now) =>
    interaction(now, 'shortcut', {
      user: { id: user, username: 'sender', team_id: team },
      callback_id: 'new_ticket',
      action_ts: slackTime(now),
    }),
  message_action: (now) => {
    const ts = slackTime(now - 60_000)
    return interaction(now, 'message_action', {
      user: { id: user, username: 'sender', name: 'sender', team_id: team },
      channel: { id: channel, name: 'general' },
      callback_id: 'save_message',
      action_ts: slackTime(now),
      message_ts: ts,
      message: { type: 'message', user, ts, text: 'Worth keeping', team },
      response_url: responseUrl('app'),
    })
  },
  /** Slack's look at the certificate, the one request of its that is not signed. */
  ssl_check: () => ({ ...form(hex(8), 'ssl_check', { ssl_check: '1', token: 'unused' }), isUnsigned: true }),
}

function form(id: string, type: string, fields: Record<string, string>): Sample {
  const body = new URLSearchParams(fields).toString()
  return { id, type, contentType: 'application/x-www-form-urlencoded', body }
}

/** Interactivity is JSON in the only field of a form. */
function interaction(now: number, type: string, fields: object): Sample {
  const trigger = triggerId(now)
  const payload = {
    type,
    token: 'unused',
    trigger_id: trigger,
    team: { id: team, domain },
    enterprise: null,
    is_enterprise_install: false,
    ...fields,
  }
  // A dialog that is closed triggers nothing any more.
  const { trigger_id: _none, ...closed } = payload
  const sent = type === 'view_closed' ? closed : payload
  return form(trigger, `interaction.${type}`, { payload: JSON.stringify(sent) })
}

function view(now: number) {
  const id = `V${capitals(10)}`
  const label = { type: 'plain_text', text: 'Title', emoji: true }
  return {
    id,
    team_id: team,
    app_id: app,
    app_installed_team_id: team,
    bot_id: 'B0MILLRACE',
    type: 'modal',
    callback_id: 'new_ticket',
    title: { type: 'plain_text', text: 'New ticket', emoji: true },
    submit: { type: 'plain_text', text: 'Create', emoji: true },
    close: null,
    blocks: [
      {
        type: 'input',
        block_id: 'title',
        label,
        optional: false,
        element: { type: 'plain_text_input', action_id: 'value' },
      },
    ],
    state: { values: { title: { value: { type: 'plain_text_input', value: 'The coffee machine is out' } } } },
    private_metadata: '',
    external_id: '',
    root_view_id: id,
    previous_view_id: null,
    clear_on_close: false,
    notify_on_close: true,
    hash: `${seconds(now)}.${hex(4)}`,
  }
}

function triggerId(now: number): string {
  return `${serial()}.${now}.${hex(16)}`
}

function responseUrl(kind: string): string {
  return `https://hooks.slack.example/${kind}/${team}/${serial()}/${hex(12)}`
}
