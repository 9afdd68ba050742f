import fc from 'fast-check'
import { expect, it } from 'vitest'
import { optionsWriter } from '../../src/jobs/add-script.ts'
import { member, quote } from '../../src/jobs/json.ts'

/* What is written by hand is what JSON.stringify writes. */

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string(),
  fc.constantFrom('Ev0', '"', '\\', '\u2028', '\ud800', 'a\n'),
)

it('writes every text', () => {
  fc.assert(
    fc.property(text, (any) => {
      expect(quote(any)).toBe(JSON.stringify(any))
      expect(`{${member('name', any).slice(1)}}`).toBe(JSON.stringify({ name: any }))
    }),
  )
  expect(member('name', undefined)).toBe('')
})

it("writes a job's options", () => {
  const fixed = { attempts: 5, backoff: { type: 'exponential', delay: 1 } }
  const some = fc.option(text, { nil: undefined })
  const de = fc.option(fc.record({ id: text, ttl: fc.nat() }), { nil: undefined })
  const meta = fc.record({ source: text, event: text, alias: some, tenant: some })
  fc.assert(
    fc.property(fc.record({ de, meta }), (own) => {
      expect(optionsWriter(fixed)(own)).toBe(JSON.stringify({ ...fixed, ...own }))
    }),
  )
  expect(optionsWriter(fixed)({ meta: {} })).toBe(JSON.stringify({ ...fixed, meta: {} }))
})
