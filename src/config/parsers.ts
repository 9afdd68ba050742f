import { readFileSync, realpathSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import type { z } from 'zod'
import { type Duration, formatDuration, parseDuration } from '../define/duration.ts'
import { sizeOf } from '../define/size.ts'
import { messageOf } from '../errors.ts'
import type { StoreAddress } from './types.ts'

/* Text → value, or an Error that says what is allowed. Pure but for those that look at files. */

export function text(value: string): string {
  return value
}

/**
 * Absolute and without symbolic links, as far as it is there: locks are named after it, so two names of one folder would be two
 * folders, and two databases would run on its files.
 */
export function folder(value: string): string {
  const path = resolve(value)
  try {
    return realpathSync(path)
  } catch {
    const parent = dirname(path)
    return parent === path ? path : join(folder(parent), basename(path))
  }
}

export function whole(min: number, max: number): (value: string) => number {
  return (value) => {
    const number = Number(value)
    if (!/^\d+$/.test(value) || number < min || number > max)
      throw new Error(`must be a whole number from ${min} to ${max}`)
    return number
  }
}

export function share(value: string): number {
  const number = Number(value)
  if (!/^\d*\.?\d+$/.test(value) || number <= 0 || number > 1) throw new Error('must be a number above 0 and up to 1')
  return number
}

export function flag(value: string): boolean {
  if (!['true', 'false', '1', '0'].includes(value)) throw new Error('must be true or false')
  return value === 'true' || value === '1'
}

export function oneOf<const T extends string>(...allowed: T[]): (value: string) => T {
  return (value) => {
    const found = allowed.find((candidate) => candidate === value)
    if (found === undefined) throw new Error(`must be one of ${allowed.join(', ')}`)
    return found
  }
}

export function list(allowed?: readonly string[]): (value: string) => string[] {
  return (value) => {
    const items = [
      ...new Set(
        value
          .split(',')
          .map((item) => item.trim())
          .filter(Boolean),
      ),
    ]
    const strange = allowed && items.find((item) => !allowed.includes(item))
    if (strange !== undefined) throw new Error(`${JSON.stringify(strange)} is none of ${allowed?.join(', ')}`)
    if (items.length === 0) throw new Error(`must name at least one${allowed ? ` of ${allowed.join(', ')}` : ''}`)
    return items
  }
}

export function duration(min: number, max: number): (value: string) => number {
  return (value) => {
    // Plain numbers are milliseconds here, because REDIS_CONNECT_TIMEOUT=10000 is common in the field.
    const ms = /^\d+$/.test(value) ? Number(value) : parseDuration(value)
    if (ms === undefined || ms < min || ms > max)
      throw new Error(
        `must be a duration from ${formatDuration(min)} to ${formatDuration(max)}, such as 1500ms, 30s or 5m`,
      )
    return ms
  }
}

/** `600/1m`, or undefined for `off`. */
export function rate(value: string): { max: number; per: Duration } | undefined {
  if (value === 'off') return undefined
  const [, max, per = ''] = /^(\d{1,6})\/(.+)$/.exec(value) ?? []
  const ms = parseDuration(per) ?? 0
  if (max === undefined || Number(max) < 1 || Number(max) > 100_000 || ms < 1_000 || ms > 86_400_000)
    throw new Error('must be so many in so long, up to 100000 in 1s to 1d, such as 600/1m, or off')
  return { max: Number(max), per: per as Duration }
}

export function bytes(value: string): number {
  const size = sizeOf(value)
  if (size === undefined || size < 1024 || size > 256 * 1024 ** 2)
    throw new Error('must be a size from 1kb to 256mb, such as 512kb or 1mb')
  return size
}

export function sizeOrOff(max: number): (value: string) => number {
  return (value) => {
    const size = sizeOf(value)
    if (size === undefined || (size > 0 && size < 1024 ** 2) || size > max)
      throw new Error('must be a size from 1mb on, such as 256mb or 2gb, or 0 for none')
    return size
  }
}

export function prefix(value: string): string {
  if (!/^[\w.-]{1,64}$/.test(value)) throw new Error('must be 1 to 64 letters, digits, dots, dashes or underscores')
  return value
}

export function secrets(value: string): string[] {
  const items = value
    .split(',')
    .map((item) => item.trim())
    .filter(Boolean)
  if (items.length === 0) throw new Error('must hold at least one secret')
  return items
}

export function file(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new Error(`cannot be read: ${messageOf(error)}`)
  }
}

/** A host name or address; a whole URL here would put its password into messages. */
export function host(value: string): string {
  if (!/^[\w.:[\]-]+$/.test(value)) throw new Error('must be a host name or an address, without scheme, user or port')
  return value.replace(/^\[|\]$/g, '')
}

/** Nothing of the value is repeated in a message: any part of it may be a password that was not escaped. */
export function url(value: string): StoreAddress {
  const allowed = 'must be redis://host:port, rediss://host:port or unix:///path/to/socket'
  try {
    const address = new URL(value)
    const parsed = address.protocol === 'unix:' ? socketAddress(address) : serverAddress(address)
    if (parsed !== undefined) return parsed
  } catch {
    // not a URL, or a stray percent sign
  }
  // The usual cause: a password with one of these characters as they are.
  throw new Error(value.includes('@') ? `${allowed}; in a password, write @ : / ? # as %40 %3A %2F %3F %23` : allowed)
}

/** Of a PostgreSQL. Nothing of the value is repeated in a message, as above. */
export function databaseUrl(value: string): string {
  const allowed = 'must be postgres://user:password@host:port/database'
  try {
    const { protocol, pathname, username, password } = new URL(value)
    decodeURIComponent(username + password + pathname)
    if (['postgres:', 'postgresql:'].includes(protocol) && pathname.length > 1) return value
  } catch {
    // not a URL, or a stray percent sign
  }
  throw new Error(value.includes('@') ? `${allowed}; in a password, write @ : / ? # as %40 %3A %2F %3F %23` : allowed)
}

function socketAddress({ hostname, pathname, searchParams, username, password, hash }: URL): StoreAddress | undefined {
  const db = searchParams.get('db') ?? ''
  if (hostname !== '' || pathname.length < 2 || hash !== '' || !/^\d{0,2}$/.test(db)) return undefined
  return { host: '', port: 0, db: Number(db), path: decodeURIComponent(pathname), ...credentials(username, password) }
}

function serverAddress({
  protocol,
  hostname,
  port,
  pathname,
  search,
  hash,
  username,
  password,
}: URL): StoreAddress | undefined {
  const db = pathname.slice(1)
  if (!['redis:', 'rediss:'].includes(protocol) || search !== '' || hash !== '' || !/^\d{0,2}$/.test(db))
    return undefined
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port),
    db: Number(db),
    ...credentials(username, password),
    ...(protocol === 'rediss:' ? { tls: {} } : {}),
  }
}

function credentials(username: string, password: string): { username?: string; password?: string } {
  return {
    ...(username ? { username: decodeURIComponent(username) } : {}),
    ...(password ? { password: decodeURIComponent(password) } : {}),
  }
}

export function json<T>(schema: z.ZodType<T>): (value: string) => T {
  return (value) => {
    let parsed: unknown
    try {
      parsed = JSON.parse(value)
    } catch {
      throw new Error('must be JSON')
    }
    const result = schema.safeParse(parsed)
    if (!result.success) throw new Error(result.error.issues.map(issueText).join('; '))
    return result.data
  }
}

export function jsonFile<T>(schema: z.ZodType<T>): (path: string) => T {
  const parse = json(schema)
  return (path) => parse(file(path))
}

/** Only paths and rules are repeated: values are secrets, and so may be a name that stands where none belongs. */
function issueText(issue: z.core.$ZodIssue): string {
  const at = issue.path.join('.') || 'JSON'
  if (issue.code === 'unrecognized_keys') return `${at}: holds a field that is not known`
  // What is wrong with a record's key is said one level below.
  const inner = issue.code === 'invalid_key' ? issue.issues.map((one) => one.message).join('; ') : issue.message
  return `${at}: ${inner}`
}
