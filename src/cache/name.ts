import { createHash } from 'node:crypto'
import { MillraceError } from '../errors.ts'

/*
 * An entry's name is what its tenant calls it: the namespaces and the key, joined by colons.
 */

/** What must not be kept where it may be old, or where others who read the store can see it. First part of the name. */
export const neverCached: ReadonlySet<string> = new Set([
  'billing',
  'auth',
  'auth-token',
  'auth-tokens',
  'token',
  'tokens',
  'realtime',
  'webhook',
  'webhooks',
  'webhook-payload',
  'webhook-payloads',
  'audit',
  'audit-log',
  'audit-logs',
])

/** A longer one is a payload by mistake. */
const maxLength = 1_024

/** A key by itself: behind a namespace, `undefined` and an object would be names that many have. */
export function checkKey(key: unknown): void {
  if (typeof key !== 'string' || key === '')
    throw new MillraceError('bad-request', `a cache key is a text, not ${key === '' ? 'empty' : typeof key}`)
}

/** What is to be invalidated. What takes nothing away by mistake leaves something old to be given. */
export function checkWhat(what: { readonly tag?: unknown; readonly pattern?: unknown }): void {
  const wanted = what?.tag ?? what?.pattern
  if (typeof wanted !== 'string' || wanted === '' || (what.tag !== undefined && what.pattern !== undefined))
    throw new MillraceError('bad-request', "say what to invalidate: { tag: 'user:1' } or { pattern: 'notion__*' }")
}

/** Throws `never-cached` for what must not be kept, `bad-request` for what can be no name. */
export function checkName(name: string): void {
  if (name.length > maxLength)
    throw new MillraceError(
      'bad-request',
      `a cache key has ${name.length} characters; at most ${maxLength}, or use a hash`,
    )
  const colon = name.indexOf(':')
  const first = (colon < 0 ? name : name.slice(0, colon)).toLowerCase()
  if (colon >= 0 && neverCached.has(first))
    throw new MillraceError('never-cached', `'${first}' is never cached: ask where the truth is, each time`)
}

/** A hash of arguments that does not depend on the order in which properties were written. */
export function hashOf(args: readonly unknown[]): string {
  return createHash('sha256').update(canonical(args)).digest('base64url').slice(0, 22)
}

/** As JSON, with the properties in order; what JSON would drop or fold together stays apart. */
export function canonical(value: unknown): string {
  if (value === undefined) return '~u'
  if (typeof value === 'bigint') return `~n${value}`
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : `~f${value}`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? `~${typeof value}`
  if (value instanceof Date) return `~d${value.getTime()}`
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`
  if (value instanceof Map || value instanceof Set)
    return `~${value instanceof Map ? 'm' : 's'}${canonical([...value])}`
  const properties = Object.entries(value)
    .filter(([, inner]) => inner !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${properties.map(([name, inner]) => `${JSON.stringify(name)}:${canonical(inner)}`).join()}}`
}

/** For Redis' MATCH: this text and no other. */
export function escapeMatch(text: string): string {
  return text.replace(/[\\*?[\]^]/g, '\\$&')
}

/** For MATCH: `*` is any text, everything else itself. */
export function matchOf(pattern: string): string {
  return pattern.split('*').map(escapeMatch).join('*')
}

/** The same for names at hand. */
export function matcherOf(pattern: string): (name: string) => boolean {
  const parts = pattern.split('*').map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
  const regexp = new RegExp(`^${parts.join('[\\s\\S]*')}$`)
  return (name) => regexp.test(name)
}
