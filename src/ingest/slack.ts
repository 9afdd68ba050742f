import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'
import { bodyId, decode, hash, isForm, isObject, parseObject, safeId, textOf, typeOf, unreadable } from './read.ts'
import type { HookRequest, Parsed, Provider } from './request.ts'

/*
 * Slack: Events API, slash commands, interactivity.
 * https://docs.slack.dev/authentication/verifying-requests-from-slack and /apis/events-api
 *
 * The signature is over the bytes that arrived, so nothing is decoded before it is checked. X-Slack-Retry-Num is not
 * looked at: a retry's first delivery may never have arrived. Repeats are recognised by their event_id, and by what they say.
 */

/** "Reject when the timestamp is more than five minutes from local time" — in both directions. */
const toleranceSeconds = 300
/** Retries end after six minutes, but with Delayed Events switched on they go on hourly for 24 h. */
const dedupeWindowMs = 25 * 3_600_000
/** A challenge longer than this is not Slack's. */
const maxChallenge = 256
const maxSslCheckBytes = 4_096
/** An `event_ts` further away than any delivery is not the time of this event, and says nothing about sameness. */
const aliasWindowMs = 26 * 3_600_000

export const slack: Provider = {
  dedupeWindowMs,
  isSilent: true,
  isNeverRefused: true,
  prepare: (secret) => createSecretKey(secret, 'utf8'),

  /** `ssl_check=1` comes unsigned, as a form. Nothing else in such a body may be read: anybody can send it. */
  unsigned(request) {
    if (request.count('x-slack-signature') > 0 || request.body.length > maxSslCheckBytes) return undefined
    if (!isForm(request)) return undefined
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
      isGenuine = timingSafeEqual(mac(secret, timestamp, request.body), claimed) || isGenuine
    return isGenuine && Math.abs(skew) <= toleranceSeconds ? skew : undefined
  },

  parse(request) {
    const text = decode(request.body)
    if (text === undefined) return unknown(request, 'the body is not UTF-8')
    return looksLikeJson(request, text) ? parseJson(request, text) : parseForm(request, text)
  },

  sign: (body, { key, now }) => {
    const timestamp = String(Math.floor(now / 1_000))
    return {
      'X-Slack-Request-Timestamp': timestamp,
      'X-Slack-Signature': `v0=${mac(key, timestamp, body).toString('hex')}`,
    }
  },
}

/** The value behind `v0=`, as bytes. */
function mac(secret: KeyObject, timestamp: string, body: Buffer): Buffer {
  return createHmac('sha256', secret).update(`v0:${timestamp}:`).update(body).digest()
}

function parseJson(request: HookRequest, text: string): Parsed {
  const parsed = parseObject(text)
  if ('reason' in parsed) return unknown(request, parsed.reason)
  const body = parsed.value
  switch (body.type) {
    case 'url_verification': {
      const { challenge } = body
      if (typeof challenge !== 'string' || challenge.length > maxChallenge)
        return unknown(request, 'url_verification without a usable challenge')
      return { kind: 'answer', contentType: 'text/plain', body: challenge }
    }
    case 'event_callback': {
      const { event } = body
      if (!isObject(event) || typeof event.type !== 'string') return unknown(request, 'event_callback without an event')
      return {
        kind: 'event',
        type: typeOf(event.type, event.subtype),
        id: eventId(request, body.event_id),
        alias: aliasOf(request, body, event),
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
      return unknown(
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
  if (payloads.length > 1) return unknown(request, 'a form with several payloads')
  if (form.get('ssl_check') === '1') return { kind: 'answer', contentType: 'text/plain', body: '' }
  const command = form.get('command')
  if (!command) return unknown(request, 'a form without command or payload')
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
  const parsed = parseObject(text, 'the form field payload')
  if ('reason' in parsed) return unknown(request, parsed.reason)
  const body = parsed.value
  if (typeof body.type !== 'string') return unknown(request, 'an interaction without a type')
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

/** The provider's id where it is fit for a header and a key, otherwise a hash: of the id, or of all that was signed. */
function eventId(request: HookRequest, given: unknown): string {
  return safeId(given) ?? bodyId(request.header('x-slack-request-timestamp') ?? '', request.body)
}

/**
 * The same post may come under another event_id, e.g. once for each of several authorizations. Who and what was said are
 * part of it, because two people may do something at the same microsecond.
 */
function aliasOf(
  request: HookRequest,
  body: Record<string, unknown>,
  event: Record<string, unknown>,
): string | undefined {
  const { event_ts: time, channel, type, subtype, user, text } = event
  if (typeof time !== 'string' || typeof channel !== 'string' || typeof body.team_id !== 'string') return undefined
  if (!/^\d{10}\.\d{6}$/.test(time) || Math.abs(request.now - Number(time) * 1_000) > aliasWindowMs) return undefined
  const parts = [body.api_app_id, body.team_id, channel, time, type, subtype, user, text].map(plain)
  return `same-${hash(parts.join('\n'))}`
}

function unknown(request: HookRequest, reason: string): Parsed {
  return unreadable(eventId(request, undefined), reason)
}

function looksLikeJson(request: HookRequest, text: string): boolean {
  const type = request.header('content-type') ?? ''
  return /^application\/(?:[\w.-]+\+)?json\b/i.test(type) || (!isForm(request) && /^\s*[[{"]/.test(text))
}

/** Of what comes from outside only texts and numbers are made into text: an object's own toString may be anything. */
function plain(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
}
