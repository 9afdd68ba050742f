import fc from 'fast-check'
import { expect } from 'vitest'
import type { Provider } from '../../src/ingest/request.ts'
import { hookRequest } from './hook-request.ts'

/*
 * Made-up requests, genuine ones and such as somebody has touched, and what we and another implementation say of them.
 * Always the same cases; a failure prints seed and path all the same.
 */

export const options = { seed: 20_240_607, numRuns: 4_000 }
export const now = 1_700_000_000

/** What the wire carries: header names in lower case. */
export type Wire = { body: Buffer; headers: Record<string, string>; secret: string }
export type Judge = (wire: Wire) => boolean | Promise<boolean>
/** A place where they differ, and what we say there. */
export type Exception = { name: string; applies: (wire: Wire) => boolean; ours: boolean }

export const ours =
  (provider: Provider): Judge =>
  ({ body, headers, secret }) =>
    provider.verify(hookRequest(body, headers, now), [provider.prepare(secret)]) !== undefined

export const holds = (check: () => unknown): boolean => {
  try {
    check()
    return true
  } catch {
    return false
  }
}

/** They decode the body before they look at it: bytes that are not UTF-8 all become the same character. */
export const isLossy = ({ body }: Wire) => !Buffer.from(body.toString()).equals(body)
const unicode = fc.string({ unit: 'binary', maxLength: 120 })
export const body = fc
  .oneof(
    { weight: 4, arbitrary: fc.json() },
    { weight: 3, arbitrary: unicode },
    { weight: 1, arbitrary: unicode.map((text) => `\r\n${text}\0`) },
  )
  .map((text) => Buffer.from(text))
  .filter(({ length }) => length > 0)
// What somebody could configure: no white space at the ends.
export const anySecret = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 80 })
  .filter((text) => text.trim() === text)
export const skew = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: -300, max: 300 }) },
  { weight: 1, arbitrary: fc.constantFrom(-302, -301, -300, -299, 299, 300, 301, 302) },
  { weight: 1, arbitrary: fc.integer({ min: -1_000_000_000, max: 400_000_000 }) },
)

/** What somebody does to a request: nothing, in a third of the cases. `at` is a share of the place's length. */
type Touch = { what: (typeof touches)[number]; at: number; bit: number; header: number; junk: string }
const touches = ['nothing', 'body', 'header', 'secret', 'cut', 'drop', 'append', 'prepend', 'insert', 'case'] as const
const touch: fc.Arbitrary<Touch> = fc.record({
  what: fc.oneof(
    fc.constant('nothing' as const),
    fc.constantFrom(...touches),
    fc.constantFrom('header', 'body', 'insert'),
  ),
  at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  bit: fc.nat(6),
  header: fc.nat(7),
  junk: fc.oneof(
    fc.constantFrom('=junk', ',', ', ', ' ', '.0', '.', 'e3', '+', '0', '-', 'v1', 't=1', ',v1=', '=', 'x'),
    fc.string({ minLength: 1, maxLength: 5 }),
  ),
})

function touched({ body, headers, secret }: Wire, { what, at, bit, header, junk }: Touch): Wire {
  const flip = (byte: number, which: number) => byte ^ (1 << which)
  const names = Object.keys(headers)
  const name = names[header % names.length] ?? ''
  const value = headers[name] ?? ''
  const place = Math.floor(at * value.length)
  const put = (text: string): Wire => ({ body, headers: { ...headers, [name]: text }, secret })
  switch (what) {
    case 'nothing':
      return { body, headers, secret }
    case 'body': {
      const bytes = Buffer.from(body)
      const index = Math.floor(at * bytes.length)
      bytes[index] = flip(bytes[index] ?? 0, bit)
      return { body: bytes, headers, secret }
    }
    case 'header':
      return put(
        value.slice(0, place) + String.fromCharCode(flip(value.charCodeAt(place), bit)) + value.slice(place + 1),
      )
    case 'secret': {
      // One letter of it, and none of the padding: what has a form keeps it.
      const index = Math.max(0, Math.min(secret.length - 4, 6 + Math.floor(at * (secret.length - 6))))
      const other = secret[index] === 'A' ? 'B' : 'A'
      return { body, headers, secret: secret.slice(0, index) + other + secret.slice(index + 1) }
    }
    case 'cut':
      return put(value.slice(0, place))
    case 'drop':
      return { body, headers: Object.fromEntries(Object.entries(headers).filter(([key]) => key !== name)), secret }
    case 'append':
      return put(value + junk)
    case 'prepend':
      return put(junk + value)
    case 'insert': {
      // Half of them at the end of a part, where readers that split are weakest.
      const end = bit % 2 === 0 ? place : place + value.slice(place).search(/[, ]|$/)
      return put(value.slice(0, end) + junk + value.slice(end))
    }
    case 'case':
      return put(value.toUpperCase())
  }
}

/** Judges all cases, and looks that both answers and each exception were among them: else nothing was compared. */
export async function compare(provider: Provider, genuine: fc.Arbitrary<Wire>, theirs: Judge, exceptions: Exception[]) {
  const seen = { accepted: 0, refused: 0, exceptions: new Set<string>() }
  const judge = ours(provider)
  await fc.assert(
    fc.asyncProperty(genuine, touch, async (wire, how) => {
      const request = touched(wire, how)
      const answer = await judge(request)
      const other = await theirs(request)
      const exception = exceptions.find(({ ours, applies }) => ours === answer && applies(request))
      if (answer === other) seen[answer ? 'accepted' : 'refused'] += 1
      else if (exception) seen.exceptions.add(exception.name)
      else expect(answer).toBe(other)
    }),
    options,
  )
  expect(seen.accepted).toBeGreaterThan(options.numRuns / 10)
  expect(seen.refused).toBeGreaterThan(options.numRuns / 5)
  return [...seen.exceptions].sort()
}

/** What our own sign() makes is genuine for them, whatever the body and the secret. */
export const oursForThem = (provider: Provider, secrets: fc.Arbitrary<string>, theirs: Judge) =>
  fc.assert(
    fc.asyncProperty(body, secrets, fc.uuid(), async (sent, secret, id) => {
      const signing = { key: provider.prepare(secret), id, now: now * 1_000, type: 'a.b' }
      const named = Object.entries(provider.sign(sent, signing)).map(([name, value]) => [name.toLowerCase(), value])
      const headers = Object.fromEntries(named) as Record<string, string>
      expect(await theirs({ body: sent, headers, secret })).toBe(true)
    }),
    { ...options, numRuns: 500 },
  )
