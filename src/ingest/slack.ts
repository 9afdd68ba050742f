import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { isDeeperThan } from './depth.ts'
import type { HookRequest, Parsed, Provider, SecretKey } from './request.ts'

/*
 * Slack: Events API, slash commands, interactivity.
 * https://docs.slack.dev/authentication/verifying-requests-from-slack and /apis/events-api
 *
 * The signature is over the bytes that arrived, so nothing is decoded before it is checked. X-Slack-Retry-Num is not
 * looked at: a retry's first delivery may never have arrived. Repeats are recognised by their event_id alone.
 */

/** "Reject when the timestamp is more than five minutes from local time" — in both directions. */
const toleranceSeconds = 300
/** Retries end after six minutes, but with Delayed Events switched on they go on hourly for 24 h. */
const dedupeWindowMs = 25 * 3_600_000
/** A challenge longer than this is not Slack's. */
const maxChallenge = 256
const maxSslCheckBytes = 4_096
/** JSON.parse takes 100,000 levels, but whoever shows or copies the result afterwards does not. Slack's own need 15. */
const maxDepth = 200

export const slack: Provider = {
  dedupeWindowMs,
  isSilent: true,

  /** `ssl_check=1` comes unsigned, as a form. Nothing else in such a body may be read: anybody can send it. */
  unsigned(request) {
    if (request.count('x-slack-signature') > 0 || request.body.length > maxSslCheckBytes) return undefined
    if (!/^application\/x-www-form-urlencoded\b/i.test(request.header('content-type') ?? '')) return undefined
    const form = new URLSearchParams(request.body.toString('latin1'))
    return form.get('ssl_check') === '1' ? { kind: 'answer', contentType: 'text/plain', body: '' } : undefined
  },

  verify(request, secrets) {
    const timestamp = request.header('x-slack-request-timestamp')
    const signature = request.header('x-slack-signature')
    if (timestamp === undefined || signature === undefined) return undefined
    // The exact text: signing libraries disagree about "1.5e9", "0x5b…", " 1531420618 ", which Slack never sends.
    if (!/^[1-9]\d{8,10}$/.test(timestamp) || !/^v0=[0-9a-f]{64}$/.test(signature)) return undefined
    const skew = Math.floor(request.now / 1_000) - Number(timestamp)
    const claimed = Buffer.from(signature.slice(3), 'hex')
    let isGenuine = false
    // No early way out: which of several secrets fits, or whether only the clock is wrong, must not show in the time.
    for (const secret of secrets)
      isGenuine = timingSafeEqual(sign(secret, timestamp, request.body), claimed) || isGenuine
    return isGenuine && Math.abs(skew) <= toleranceSeconds ? skew : undefined
  },

  parse(request) {
    const text = decode(request.body)
    if (text === undefined) return unreadable(request, 'the body is not UTF-8')
    return looksLikeJson(request, text) ? parseJson(request, text) : parseForm(request, text)
  },
}

/** The value behind `v0=`, as bytes. */
export function sign(secret: SecretKey, timestamp: string, body: Buffer): Buffer {
  return createHmac('sha256', secret).update(`v0:${timestamp}:`).update(body).digest()
}

function parseJson(request: HookRequest, text: string): Parsed {
  if (isDeeperThan(maxDepth, text)) return unreadable(request, `nested deeper than ${maxDepth} levels`)
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return unreadable(request, 'the body is not JSON')
  }
  if (!isObject(body)) return unreadable(request, 'the body is not a JSON object')
  switch (body.type) {
    case 'url_verification': {
      const { challenge } = body
      if (typeof challenge !== 'string' || challenge.length > maxChallenge)
        return unreadable(request, 'url_verification without a usable challenge')
      return { kind: 'answer', contentType: 'text/plain', body: challenge }
    }
    case 'event_callback': {
      const { event } = body
      if (!isObject(event) || typeof event.type !== 'string')
        return unreadable(request, 'event_callback without an event')
      return {
        kind: 'event',
        type: typeOf(event.type, event.subtype),
        id: eventId(request, body.event_id),
        tenant: textOf(body.team_id),
        json: text,
        payload: body,
      }
    }
    case 'app_rate_limited':
      // One notice for each minute and team; it has no event_id.
      return {
        kind: 'event',
        type: 'app_rate_limited',
        id: hash(`rate-limited:${plain(body.team_id)}:${plain(body.minute_rate_limited)}`),
        tenant: textOf(body.team_id),
        json: text,
        payload: body,
      }
    default:
      return unreadable(
        request,
        `no known Slack request: type ${typeof body.type === 'string' ? JSON.stringify(body.type.slice(0, 80)) : body.type === null ? 'null' : typeof body.type}`,
      )
  }
}

/** Slash commands are flat forms; interactivity is JSON in the form's one field `payload`. */
function parseForm(request: HookRequest, text: string): Parsed {
  const form = new URLSearchParams(text)
  const payloads = form.getAll('payload')
  if (payloads.length === 1) return parseInteraction(request, payloads[0] ?? '')
  if (payloads.length > 1) return unreadable(request, 'a form with several payloads')
  if (form.get('ssl_check') === '1') return { kind: 'answer', contentType: 'text/plain', body: '' }
  const command = form.get('command')
  if (!command) return unreadable(request, 'a form without command or payload')
  // Object.fromEntries defines own properties, so a field called __proto__ is a field like any other.
  const payload = Object.fromEntries(form)
  return {
    kind: 'event',
    type: typeOf('command', command.replace(/^\//, '')),
    id: eventId(request, form.get('trigger_id')),
    tenant: textOf(form.get('team_id')),
    json: JSON.stringify(payload),
    payload,
  }
}

function parseInteraction(request: HookRequest, text: string): Parsed {
  if (isDeeperThan(maxDepth, text)) return unreadable(request, `nested deeper than ${maxDepth} levels`)
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    return unreadable(request, 'the form field payload is not JSON')
  }
  if (!isObject(body) || typeof body.type !== 'string') return unreadable(request, 'an interaction without a type')
  // A menu that asks for its options waits for them: no worker could answer in time, and an empty list is valid.
  if (body.type === 'block_suggestion' || body.type === 'dialog_suggestion')
    return { kind: 'answer', contentType: 'application/json', body: '{"options":[]}' }
  const team = isObject(body.team) ? textOf(body.team.id) : undefined
  return {
    kind: 'event',
    type: typeOf('interaction', body.type),
    id: eventId(request, body.trigger_id),
    tenant: team,
    json: text,
    payload: body,
  }
}

/** `message` with subtype `channel_join` is `message.channel_join`; odd characters become `_`, for names and patterns. */
function typeOf(type: string, subtype: unknown): string {
  const clean = (part: string) => part.slice(0, 64).replace(/[^\w-]/g, '_')
  return typeof subtype === 'string' && subtype ? `${clean(type)}.${clean(subtype)}` : clean(type)
}

/** The provider's id where it is fit for a header and a key, otherwise a hash: of the id, or of all that was signed. */
function eventId(request: HookRequest, given: unknown): string {
  if (typeof given !== 'string' || given === '') return bodyId(request)
  return /^[\w.-]{1,64}$/.test(given) ? given : hash(given)
}

function bodyId(request: HookRequest): string {
  return createHash('sha256')
    .update(`${request.header('x-slack-request-timestamp') ?? ''}:`)
    .update(request.body)
    .digest('base64url')
}

function unreadable(request: HookRequest, reason: string): Parsed {
  return { kind: 'unreadable', id: bodyId(request), reason }
}

function looksLikeJson(request: HookRequest, text: string): boolean {
  const type = request.header('content-type') ?? ''
  return (
    /^application\/(?:[\w.-]+\+)?json\b/i.test(type) ||
    (!/^application\/x-www-form-urlencoded\b/i.test(type) && /^\s*[[{"]/.test(text))
  )
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** A byte order mark is dropped, as the standard has it; anything that is not UTF-8 gives undefined. */
function decode(body: Buffer): string | undefined {
  try {
    return utf8.decode(body)
  } catch {
    return undefined
  }
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('base64url')
}

/** Of what comes from outside only texts and numbers are made into text: an object's own toString may be anything. */
function plain(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
