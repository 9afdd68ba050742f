import type { StandardSchemaV1 } from '@standard-schema/spec'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type AnySchema, validate } from '../../src/define/schema.ts'
import { MillraceError } from '../../src/errors.ts'

const order = z.object({
  id: z.string(),
  paidAt: z.iso.datetime().transform((text) => new Date(text)),
  lines: z.array(z.object({ count: z.number() })).default([]),
})

function refusal(schema: AnySchema, value: unknown): MillraceError {
  try {
    void validate(schema, value, 'job')
  } catch (error) {
    if (error instanceof MillraceError) return error
    throw error
  }
  throw new Error('it was accepted')
}

describe('validate', () => {
  it('gives the output side: transformed, with defaults', () => {
    expect(validate(order, { id: '1', paidAt: '2026-01-02T03:04:05Z' }, 'job')).toEqual({
      id: '1',
      paidAt: new Date('2026-01-02T03:04:05Z'),
      lines: [],
    })
  })

  it('is synchronous for a synchronous schema, and not for another', async () => {
    const slow = z.string().refine(async (text) => text !== 'no', 'must not be no')
    expect(validate(z.string(), 'yes', 'job')).toBe('yes')
    const pending = validate(slow, 'yes', 'job')
    expect(pending).toBeInstanceOf(Promise)
    expect(await pending).toBe('yes')
    await expect(validate(slow, 'no', 'job')).rejects.toMatchObject({
      code: 'invalid-payload',
      fields: [{ path: '', message: 'must not be no' }],
    })
  })

  it('names each wrong field by its path', () => {
    const { code, status, fields, message } = refusal(order, { id: 1, paidAt: '2026-01-02T03:04:05Z', lines: [{}] })
    expect([code, status]).toEqual(['invalid-payload', 422])
    expect(fields.map((field) => field.path)).toEqual(['id', 'lines[0].count'])
    expect(message).toMatch(/^job: id: .*; lines\[0\]\.count: /)
  })

  it('names the payload itself where there is no path', () => {
    expect(refusal(order, 'text').message).toMatch(/^job: \(payload\): /)
    expect(refusal(z.array(z.string()), [1]).fields[0]?.path).toBe('[0]')
  })

  it('tells of five and counts the rest, but keeps all for programs', () => {
    const { message, fields } = refusal(z.array(z.string()), [1, 2, 3, 4, 5, 6, 7])
    expect(message).toContain('[4]: ')
    expect(message).not.toContain('[5]: ')
    expect(message).toMatch(/; and 2 more$/)
    expect(fields).toHaveLength(7)
  })

  it('does not repeat the value: payloads belong in no log', () => {
    const { message, fields } = refusal(order, { id: 1, paidAt: 'xoxb-secret', lines: 'xoxb-secret' })
    expect(`${message}${JSON.stringify(fields)}`).not.toContain('xoxb-secret')
  })

  it('takes any Standard Schema, also one whose paths are made of objects', () => {
    const names: StandardSchemaV1<string[], ReadonlySet<string>> = {
      '~standard': {
        version: 1,
        vendor: 'by hand',
        validate: (value) =>
          Array.isArray(value)
            ? { value: new Set(value) }
            : { issues: [{ message: 'no list', path: [{ key: 'users' }, { key: 0 }, 'names'] }] },
      },
    }
    expect(validate(names, ['Ada', 'Ada'], 'job')).toEqual(new Set(['Ada']))
    expect(refusal(names, 1).fields).toEqual([{ path: 'users[0].names', message: 'no list' }])
  })
})
