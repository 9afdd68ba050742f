import type { HookRequest, Parsed } from '../../src/ingest/request.ts'
import { slack } from '../../src/ingest/slack.ts'

export type HookHeaders = Record<string, string | string[] | undefined>

/** When the request of Slack's documentation was signed. */
export const docTime = 1_531_420_618

/** A request as the edge hands it to a provider, without a socket. A list is a header that was sent several times. */
export function hookRequest(
  body: string | Buffer,
  headers: HookHeaders = {},
  nowSeconds: number = docTime,
): HookRequest {
  const values = (name: string) => [headers[name] ?? []].flat()
  return {
    source: 'slack',
    body: Buffer.from(body),
    now: nowSeconds * 1_000,
    header: (name) => (values(name).length === 1 ? values(name)[0] : undefined),
    count: (name) => values(name).length,
  }
}

export const docBody =
  'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar' +
  '&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=' +
  '&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN' +
  '&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c'

export const formType = 'application/x-www-form-urlencoded'

/** What Slack's parser makes of a JSON body, given as text or as a value. */
export function parseJson(body: unknown, headers: HookHeaders = {}): Parsed {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return slack.parse(hookRequest(text, { 'content-type': 'application/json', ...headers }))
}

export function parseForm(body: Record<string, string> | string, headers: HookHeaders = {}): Parsed {
  return slack.parse(hookRequest(new URLSearchParams(body).toString(), { 'content-type': formType, ...headers }))
}

export function eventOf(parsed: Parsed): Extract<Parsed, { kind: 'event' }> {
  if (parsed.kind !== 'event') throw new Error(`not an event: ${JSON.stringify(parsed)}`)
  return parsed
}

export const envelope = {
  token: 'unused',
  team_id: 'T0AAAAAA1',
  api_app_id: 'A0AAAAAA1',
  type: 'event_callback',
  event_id: 'Ev0AAAAAA1',
  event_time: 1_700_000_000,
  event: { type: 'app_mention', user: 'U0AAAAAA1', text: 'hi', ts: '1700000000.000100', channel: 'C0AAAAAA1' },
}

export const command = {
  token: 'unused',
  team_id: 'T0AAAAAA1',
  command: '/deploy',
  text: 'main & more',
  response_url: 'https://hooks.slack.com/commands/T0AAAAAA1/1/x',
  trigger_id: '111.222.abc',
}
