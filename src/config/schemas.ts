import { createHash } from 'node:crypto'
import { z } from 'zod'
import { messageOf } from '../errors.ts'
import { bytes, duration } from './parsers.ts'
import { type ApiKeyConfig, type SourceConfig, sourceTypes } from './types.ts'

/* The two settings that are JSON. */

const hashPattern = /^sha256:([0-9a-f]{64})$/i

const header = z.string().regex(/^[A-Za-z0-9-]{1,64}$/, 'must be a header name')

/** The time of each is remembered for a while: as many as a limit takes. */
const events = z.int().positive().max(100_000)

export const quota = z
  .strictObject({
    perSecond: events.optional(),
    perHour: events.optional(),
    burst: events.optional(),
  })
  .refine(({ perSecond, perHour }) => perSecond !== undefined || perHour !== undefined, 'needs perSecond or perHour')
  .refine(({ perSecond, burst }) => burst === undefined || perSecond !== undefined, 'burst needs perSecond')

const hmac = z
  .strictObject({
    header,
    algorithm: z.enum(['sha1', 'sha256', 'sha512']).default('sha256'),
    encoding: z.enum(['hex', 'base64']).default('hex'),
    prefix: z.string().max(32).default(''),
    timestampHeader: header.optional(),
    tolerance: z
      .string()
      .transform(through(duration(1_000, 86_400_000)))
      .default(300_000),
    idHeader: header.optional(),
    typeHeader: header.optional(),
    typeField: z.string().min(1).default('type'),
  })
  .transform(({ tolerance, ...scheme }) => ({ ...scheme, toleranceSeconds: tolerance / 1_000 }))

export function sourcesSchema(): z.ZodType<SourceConfig[]> {
  const source = z
    .strictObject({
      type: z.enum(sourceTypes, `must be one of ${sourceTypes.join(', ')}`),
      secrets: z.array(z.string().min(1)).min(1, 'must hold at least one secret'),
      tenant: z.string().min(1).optional(),
      limit: z.string().transform(through(bytes)).optional(),
      keepRaw: z.boolean().optional(),
      quota: quota.optional(),
      tenantQuota: quota.optional(),
      hmac: hmac.optional(),
    })
    .refine(({ type, hmac }) => (type === 'hmac') === (hmac !== undefined), {
      path: ['hmac'],
      message: 'says how type hmac signs: needed there, e.g. { "header": "X-Signature" }, and nowhere else',
    })
    .refine(({ type, secrets }) => type !== 'standard' || secrets.every(isStandardSecret), {
      path: ['secrets'],
      message: standardSecretRule,
    })
  const name = z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,63}$/, 'a source name is made of lower-case letters, digits and dashes')
  return z.record(name, source).transform((all) =>
    // What was not given is not there: that is how the rest of the code asks.
    Object.entries(all).map(([name, { type, secrets, tenant, ...more }]) => ({
      name,
      type,
      secrets,
      tenant,
      ...(Object.fromEntries(Object.entries(more).filter(([, value]) => value !== undefined)) as object),
    })),
  )
}

export const standardSecretRule =
  'must be whsec_ and 24 to 64 bytes, whpk_ and 32 bytes, or whsk_ and 64 bytes, all in base64'

/** Secrets of Standard Webhooks have a form; a wrong one would refuse every event without a word of why. */
export function isStandardSecret(secret: string): boolean {
  const [, kind = 'whsec_', text = ''] = /^(whsec_|whpk_|whsk_)?([A-Za-z0-9+/]+={0,2})$/.exec(secret) ?? []
  const { length } = Buffer.from(text, 'base64')
  return kind === 'whpk_' ? length === 32 : kind === 'whsk_' ? length === 64 : length >= 24 && length <= 64
}

/** A parser of texts as a step of a schema. */
function through<T>(parse: (text: string) => T): (text: string, context: z.RefinementCtx) => T {
  return (text, context) => {
    try {
      return parse(text)
    } catch (error) {
      context.addIssue(messageOf(error))
      return z.NEVER
    }
  }
}

export function keysSchema(): z.ZodType<ApiKeyConfig[]> {
  return z.array(
    z
      .strictObject({
        key: z.string().min(16, 'must have at least 16 characters, or be a sha256 hash').optional(),
        sha256: z
          .string()
          .regex(/^[0-9a-f]{64}$/i, 'must be 64 hex digits')
          .optional(),
        name: z.string().min(1),
        role: z.enum(['viewer', 'operator', 'admin']),
        tenant: z.string().min(1).default('*'),
      })
      .refine(
        ({ key }) => !key?.startsWith('sha256:') || hashPattern.test(key),
        'sha256: must be followed by 64 hex digits',
      )
      .refine((key) => (key.key === undefined) !== (key.sha256 === undefined), 'needs either key or sha256')
      .transform(({ key, sha256, ...rest }) => ({ ...rest, hash: sha256?.toLowerCase() ?? hashOf(key ?? '') })),
  )
}

/** Keys are compared and kept by hash only. A `key` that looks like `sha256:<hex>` is a hash already. */
function hashOf(key: string): string {
  const given = hashPattern.exec(key)?.[1]
  return given ? given.toLowerCase() : hashKey(key)
}

/** How a key is looked up: sha256 in lower hex. Keys are long and random, so no slower hash is needed. */
export function hashKey(key: string): string {
  return createHash('sha256').update(key).digest('hex')
}
