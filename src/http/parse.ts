import type { z } from 'zod'
import { MillraceError } from '../errors.ts'

/** What a schema makes of a query or a body. Throws `bad-request` with each wrong field. */
export function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  throw new MillraceError(
    'bad-request',
    result.error.issues.map(({ path, message }) => [path.join('.'), message].filter(Boolean).join(': ')).join('; '),
  )
}
