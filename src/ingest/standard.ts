import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  type KeyObject,
  sign,
  timingSafeEqual,
  verify,
} from 'node:crypto'
import { bodyId, decode, dottedTypeOf, parseObject, safeId, textOf, unreadable } from './read.ts'
import type { HookRequest, Provider } from './request.ts'

/*
 * Standard Webhooks 1.0.0: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 * Svix sends the same under `svix-*` names.
 *
 * v1 is HMAC-SHA256 with the decoded part of `whsec_…` as key; v1a is ed25519 with a public key `whpk_…`. A header may carry
 * many signatures; any one that fits is enough, and unknown versions are passed over.
 */

const toleranceSeconds = 300
/** The spec's example schedule of retries ends after 75 h. */
const dedupeWindowMs = 4 * 86_400_000
const maxSignatures = 10

/** DER in front of a raw ed25519 public key and seed (RFC 8410). */
const publicPrefix = Buffer.from('302a300506032b6570032100', 'hex')
const seedPrefix = Buffer.from('302e020100300506032b657004220420', 'hex')

export const standard: Provider = {
  dedupeWindowMs,
  isSilent: false,
  isNeverRefused: false,

  prepare(secret) {
    const raw = Buffer.from(secret.replace(/^wh(?:sec|pk|sk)_/, ''), 'base64')
    if (secret.startsWith('whpk_')) {
      if (raw.length !== 32) throw new Error('whpk_ must hold 32 bytes in base64')
      return createPublicKey({ key: Buffer.concat([publicPrefix, raw]), format: 'der', type: 'spki' })
    }
    if (secret.startsWith('whsk_')) {
      if (raw.length !== 64) throw new Error('whsk_ must hold 64 bytes in base64')
      return createPrivateKey({ key: Buffer.concat([seedPrefix, raw.subarray(0, 32)]), format: 'der', type: 'pkcs8' })
    }
    if (raw.length < 24 || raw.length > 64) throw new Error('must be whsec_ and 24 to 64 bytes in base64')
    return createSecretKey(raw)
  },

  verify(request, keys) {
    const { id, timestamp, signature } = headersOf(request)
    if (id === undefined || timestamp === undefined || signature === undefined) return undefined
    // A dot in either would let "a.b" + "c" pass for "a" + "b.c".
    if (id === '' || id.includes('.') || !/^[1-9]\d{8,10}$/.test(timestamp)) return undefined
    const skew = Math.floor(request.now / 1_000) - Number(timestamp)
    const content = signedContent(id, timestamp, request.body)
    const claimed = signature.split(' ').slice(0, maxSignatures)
    let isGenuine = false
    for (const key of keys) {
      const fits = matcher(key, content)
      for (const one of claimed) isGenuine = fits(one) || isGenuine
    }
    return isGenuine && Math.abs(skew) <= toleranceSeconds ? skew : undefined
  },

  parse(request) {
    const { id: given, timestamp } = headersOf(request)
    const id = safeId(given) ?? bodyId(timestamp ?? '', request.body)
    const text = decode(request.body)
    if (text === undefined) return unreadable(id, 'the body is not UTF-8')
    const parsed = parseObject(text)
    if ('reason' in parsed) return unreadable(id, parsed.reason)
    const type = dottedTypeOf(textOf(parsed.value.type) ?? '') || 'event'
    return { kind: 'event', type, id, tenant: undefined, json: text, payload: parsed.value }
  },

  sign: (body, { key, id, now }) => {
    const timestamp = String(Math.floor(now / 1_000))
    const content = signedContent(id, timestamp, body)
    const signature =
      key.type === 'secret'
        ? `v1,${mac(key, content).toString('base64')}`
        : `v1a,${sign(null, content, key).toString('base64')}`
    return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature }
  },
}

function headersOf(request: HookRequest): Record<'id' | 'timestamp' | 'signature', string | undefined> {
  const prefix = request.count('webhook-signature') === 0 && request.count('svix-signature') > 0 ? 'svix' : 'webhook'
  return {
    id: request.header(`${prefix}-id`),
    timestamp: request.header(`${prefix}-timestamp`),
    signature: request.header(`${prefix}-signature`),
  }
}

function signedContent(id: string, timestamp: string, body: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body])
}

function mac(key: KeyObject, content: Buffer): Buffer {
  return createHmac('sha256', key).update(content).digest()
}

/** Whether a claimed signature is this key's. The MAC is made once: a body may be large, and claims are cheap to make. */
function matcher(key: KeyObject, content: Buffer): (claimed: string) => boolean {
  if (key.type === 'secret') {
    const expected = mac(key, content)
    return (claimed) => {
      const bytes = signatureIn(claimed, 'v1,', 32)
      return bytes !== undefined && timingSafeEqual(expected, bytes)
    }
  }
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  return (claimed) => {
    const bytes = signatureIn(claimed, 'v1a,', 64)
    return bytes !== undefined && verify(null, content, publicKey, bytes)
  }
}

/** Encoded again, because several texts of base64 stand for the same bytes, and a sender writes one of them. */
function signatureIn(claimed: string, prefix: string, length: number): Buffer | undefined {
  if (!claimed.startsWith(prefix)) return undefined
  const text = claimed.slice(prefix.length)
  const bytes = Buffer.from(text, 'base64')
  return bytes.length === length && bytes.toString('base64') === text ? bytes : undefined
}
