import { createHash } from 'node:crypto'
import { z } from 'zod'
import type { ApiKeyConfig, SourceConfig } from './types.ts'

/* The two settings that are JSON. */

const hashPattern = /^sha256:([0-9a-f]{64})$/i

export function sourcesSchema(): z.ZodType<SourceConfig[]> {
  const source = z.strictObject({
    type: z.enum(['slack'], 'must be slack'),
    secrets: z.array(z.string().min(1)).min(1, 'must hold at least one secret'),
    tenant: z.string().min(1).optional(),
  })
  const name = z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,63}$/, 'a source name is made of lower-case letters, digits and dashes')
  return z
    .record(name, source)
    .transform((all) => Object.entries(all).map(([name, { tenant, ...rest }]) => ({ name, ...rest, tenant })))
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
