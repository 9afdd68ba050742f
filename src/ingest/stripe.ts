import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'
import { bodyId, decode, dottedTypeOf, parseObject, safeId, textOf, unreadable } from './read.ts'
import type { Provider } from './request.ts'

/*
 * Stripe: https://docs.stripe.com/webhooks/signature
 *
 * The key is the whole text `whsec_…`, not its decoded part (Standard Webhooks does it the other way). Only v1 counts; v0 is
 * Stripe's decoy for testing receivers. Several v1 come while a secret is being rolled.
 */

const toleranceSeconds = 300
/** Retries go on for three days; the CLI can send an event again for thirty. */
const dedupeWindowMs = 30 * 86_400_000
/** Stripe sends as many signatures as secrets are live: one or two. */
const maxSignatures = 10

export const stripe: Provider = {
  dedupeWindowMs,
  isSilent: false,
  isNeverRefused: false,
  prepare: (secret) => createSecretKey(secret, 'utf8'),

  verify(request, keys) {
    const header = readHeader(request.header('stripe-signature'))
    if (!header) return undefined
    const skew = Math.floor(request.now / 1_000) - Number(header.timestamp)
    let isGenuine = false
    for (const key of keys) {
      const expected = mac(key, header.timestamp, request.body)
      for (const claimed of header.signatures) isGenuine = timingSafeEqual(expected, claimed) || isGenuine
    }
    return isGenuine && Math.abs(skew) <= toleranceSeconds ? skew : undefined
  },

  parse(request) {
    const text = decode(request.body)
    const parsed = text === undefined ? { reason: 'the body is not UTF-8' } : parseObject(text)
    const fallbackId = () => bodyId(readHeader(request.header('stripe-signature'))?.timestamp ?? '', request.body)
    if (text === undefined || 'reason' in parsed)
      return unreadable(fallbackId(), 'reason' in parsed ? parsed.reason : '')
    const { id, type, account } = parsed.value
    const named = typeof type === 'string' ? dottedTypeOf(type) : ''
    if (named === '') return unreadable(safeId(id) ?? fallbackId(), 'an event without a type')
    return {
      kind: 'event',
      type: named,
      id: safeId(id) ?? fallbackId(),
      tenant: textOf(account),
      json: text,
      payload: parsed.value,
    }
  },

  sign: (body, { key, now }) => {
    const timestamp = String(Math.floor(now / 1_000))
    return { 'Stripe-Signature': `t=${timestamp},v1=${mac(key, timestamp, body).toString('hex')}` }
  },
}

function mac(key: KeyObject, timestamp: string, body: Buffer): Buffer {
  return createHmac('sha256', key).update(`${timestamp}.`).update(body).digest()
}

/** `t=<seconds>,v1=<hex>[,v1=<hex>][,v0=<hex>]`. Exactly one t; with two it would be open which one was signed. */
function readHeader(header: string | undefined): { timestamp: string; signatures: Buffer[] } | undefined {
  // Stripe writes no white space; with it come headers that a proxy has joined, whose second ` t` would be passed over.
  if (header === undefined || /\s/.test(header)) return undefined
  let timestamp: string | undefined
  const signatures: Buffer[] = []
  for (const part of header.split(',')) {
    // Not split('=', 2), which would pass over whatever comes behind a second one.
    const equals = part.indexOf('=')
    const [name, value] = [part.slice(0, equals), part.slice(equals + 1)]
    if (name === 't') {
      if (timestamp !== undefined || !/^[1-9]\d{8,10}$/.test(value)) return undefined
      timestamp = value
    } else if (name === 'v1' && /^[0-9a-f]{64}$/.test(value) && signatures.length < maxSignatures)
      signatures.push(Buffer.from(value, 'hex'))
  }
  return timestamp !== undefined && signatures.length > 0 ? { timestamp, signatures } : undefined
}
