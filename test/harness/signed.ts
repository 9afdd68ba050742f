import { createHmac, sign } from 'node:crypto'
import { freshId } from './slack.ts'

/* Headers of genuine requests of each provider. Written apart from src/, so that they can disagree with it. */

export const githubSecret = "It's a Secret to Everybody"
export const stripeSecret = 'whsec_test_secret'
export const standardSecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'

export type Headers = Record<string, string>

const seconds = () => Math.floor(Date.now() / 1_000)

export function hmacOf(
  secret: string | Buffer,
  content: readonly (string | Buffer)[],
  { algorithm = 'sha256', encoding = 'hex' }: { algorithm?: string; encoding?: 'hex' | 'base64' } = {},
): string {
  const mac = createHmac(algorithm, secret)
  for (const part of content) mac.update(part)
  return mac.digest(encoding)
}

export function githubHeaders(
  body: string | Buffer,
  { secret = githubSecret, event = 'push', guid = freshId('g'), type = 'application/json' } = {},
): Headers {
  return {
    'content-type': type,
    'x-github-event': event,
    'x-github-delivery': guid,
    'x-hub-signature-256': `sha256=${hmacOf(secret, [body])}`,
  }
}

export function stripeHeaders(body: string | Buffer, { secret = stripeSecret, at = seconds() } = {}): Headers {
  return {
    'content-type': 'application/json',
    'stripe-signature': `t=${at},v1=${hmacOf(secret, [`${at}.`, body])}`,
  }
}

/** The bytes of a secret of Standard Webhooks. */
export const bytesOf = (secret: string) => Buffer.from(secret.replace(/^wh.._|^whsec_/, ''), 'base64')

/** DER in front of an ed25519 seed. */
const seedPrefix = Buffer.from('302e020100300506032b657004220420', 'hex')

export function standardSignature(
  secret: string,
  id: string,
  timestamp: string | number,
  body: string | Buffer,
): string {
  const key = bytesOf(secret)
  if (!secret.startsWith('whsk_')) return `v1,${hmacOf(key, [`${id}.${timestamp}.`, body], { encoding: 'base64' })}`
  const content = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), Buffer.from(body)])
  const der = Buffer.concat([seedPrefix, key.subarray(0, 32)])
  return `v1a,${sign(null, content, { key: der, format: 'der', type: 'pkcs8' }).toString('base64')}`
}

export function standardHeaders(
  body: string | Buffer,
  { secret = standardSecret, id = freshId('msg_'), at = seconds(), prefix = 'webhook' } = {},
): Headers {
  return {
    'content-type': 'application/json',
    [`${prefix}-id`]: id,
    [`${prefix}-timestamp`]: String(at),
    [`${prefix}-signature`]: standardSignature(secret, id, at, body),
  }
}

/** Sends a request to a source of a running process. */
export function sendTo(url: string, source: string, body: string | Buffer, headers: Headers): Promise<Response> {
  return fetch(`${url}/hooks/${source}`, { method: 'POST', body, headers })
}
