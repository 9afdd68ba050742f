import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'
import { bodyId, decode, isForm, isObject, parseObject, safeId, textOf, typeOf, unreadable } from './read.ts'
import type { HookRequest, Provider } from './request.ts'

/*
 * GitHub: https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries
 *
 * The scheme has no timestamp: the delivery's GUID is the only protection against repetition, and it is not signed. GitHub
 * repeats nothing by itself. A redelivery, with the same GUID, is somebody's wish for up to three days.
 */

const dedupeWindowMs = 3 * 86_400_000

export const github: Provider = {
  dedupeWindowMs,
  isSilent: false,
  isNeverRefused: false,
  /** GitHub sends up to 25 MB; larger events it does not send at all. */
  limit: 25 * 1024 ** 2,
  prepare: (secret) => createSecretKey(secret, 'utf8'),

  verify(request, keys) {
    const signature = request.header('x-hub-signature-256')
    if (signature === undefined || !/^sha256=[0-9a-f]{64}$/.test(signature)) return undefined
    const claimed = Buffer.from(signature.slice(7), 'hex')
    let isGenuine = false
    for (const key of keys) isGenuine = timingSafeEqual(mac(key, request.body), claimed) || isGenuine
    return isGenuine ? 0 : undefined
  },

  parse(request) {
    const id = safeId(request.header('x-github-delivery')) ?? bodyId('', request.body)
    const event = request.header('x-github-event')
    if (!event) return unreadable(id, 'no X-GitHub-Event')
    const text = jsonText(request)
    if (typeof text !== 'string') return unreadable(id, text.reason)
    const parsed = parseObject(text)
    if ('reason' in parsed) return unreadable(id, parsed.reason)
    return {
      kind: 'event',
      type: typeOf(event, parsed.value.action),
      id,
      tenant: ownerOf(parsed.value),
      json: text,
      payload: parsed.value,
    }
  },

  sign: (body, { key, id, type }) => ({
    'X-Hub-Signature-256': `sha256=${mac(key, body).toString('hex')}`,
    'X-GitHub-Event': type.split('.')[0] ?? type,
    'X-GitHub-Delivery': id,
    'User-Agent': 'GitHub-Hookshot/millrace',
  }),
}

function mac(key: KeyObject, body: Buffer): Buffer {
  return createHmac('sha256', key).update(body).digest()
}

/** The body itself, or the form's one field `payload`; the signature is over the form's bytes either way. */
function jsonText(request: HookRequest): string | { reason: string } {
  const text = decode(request.body)
  if (text === undefined) return { reason: 'the body is not UTF-8' }
  if (!isForm(request)) return text
  const [payload, ...more] = new URLSearchParams(text).getAll('payload')
  return payload !== undefined && more.length === 0 ? payload : { reason: 'a form without one payload' }
}

/** The organization, or the owner of the repository. */
function ownerOf(body: Record<string, unknown>): string | undefined {
  const organization = isObject(body.organization) ? textOf(body.organization.login) : undefined
  const owner = isObject(body.repository) ? body.repository.owner : undefined
  return organization ?? (isObject(owner) ? (textOf(owner.login) ?? textOf(owner.name)) : undefined)
}
