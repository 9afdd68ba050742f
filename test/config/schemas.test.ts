import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { ConfigError, hashKey, loadConfig, settings } from '../../src/config.ts'

const secret = 'correct-horse-battery-staple'
const hash = createHash('sha256').update(secret).digest('hex')

const dir = mkdtempSync(join(tmpdir(), 'millrace-config-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
function file(text: string): string {
  const path = join(dir, `${createHash('sha256').update(text).digest('hex')}.json`)
  writeFileSync(path, text)
  return path
}

const load = (env: Record<string, string>) => loadConfig(env, {}, false)

/** What a start with these would say; nothing when it would start. */
function refused(env: Record<string, string>): readonly string[] {
  try {
    load(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.lines
    throw error
  }
  return []
}

describe('SOURCES', () => {
  const source = (more: object = {}) => ({ type: 'slack', secrets: [secret], ...more })
  const json = (sources: object) => JSON.stringify(sources)

  it('holds several sources, each with all its live secrets', () => {
    const { sources } = load({
      SOURCES: json({ sales: source(), 'a-1': source({ secrets: ['x', 'y'], tenant: 'T1' }) }),
    })
    expect(sources).toEqual([
      { name: 'sales', type: 'slack', secrets: [secret], tenant: undefined },
      { name: 'a-1', type: 'slack', secrets: ['x', 'y'], tenant: 'T1' },
    ])
  })

  it('adds up with the file and the short form', () => {
    const { sources } = load({
      SOURCES: json({ sales: source() }),
      SOURCES_FILE: file(json({ support: source() })),
      SLACK_SIGNING_SECRET: 'x,y',
    })
    expect(sources.map(({ name, secrets }) => [name, secrets.length])).toEqual([
      ['sales', 1],
      ['slack', 2],
      ['support', 1],
    ])
  })

  it('refuses a source that is given twice, whose secrets would otherwise be a matter of luck', () => {
    const twice = ['SOURCES: the source "slack" is given twice; keep one, with all its secrets']
    const one = json({ slack: source() })
    expect(refused({ SOURCES: one, SLACK_SIGNING_SECRET: 'x' })).toEqual(twice)
    expect(refused({ SOURCES: one, SOURCES_FILE: file(one) })).toEqual(twice)
    expect(refused({ SOURCES_FILE: file(one), SLACK_SIGNING_SECRET: 'x' })).toEqual(twice)
  })

  it.each([
    [secret, 'must be JSON'],
    ['[]', 'JSON: Invalid input: expected record, received array'],
    [json({ slack: secret }), 'slack: Invalid input: expected object, received string'],
    [json({ slack: source({ type: secret }) }), 'slack.type: must be one of slack, github, stripe, standard, hmac'],
    [json({ slack: source({ secrets: [] }) }), 'slack.secrets: must hold at least one secret'],
    [json({ slack: source({ secrets: secret }) }), 'slack.secrets: Invalid input: expected array, received string'],
    [json({ slack: source({ secrets: [''] }) }), 'slack.secrets.0: Too small: expected string to have >=1 characters'],
    [json({ slack: source({ tennant: 'T1' }) }), 'slack: holds a field that is not known'],
    [
      json({ slack: { type: 'x', secrets: [] } }),
      'slack.type: must be one of slack, github, stripe, standard, hmac; slack.secrets: must hold at least one secret',
    ],
  ])('refuses %s', (text, allowed) => {
    expect(refused({ SOURCES: text })).toEqual([`SOURCES=***: ${allowed}`])
    const path = file(text)
    expect(refused({ SOURCES_FILE: path })).toEqual([`SOURCES_FILE=${JSON.stringify(path)}: ${allowed}`])
  })

  // It says "Invalid key in record"; the rule itself is in issue.issues.
  it('says what a source may be called', () => {
    const allowed = 'a source name is made of lower-case letters, digits and dashes'
    expect(refused({ SOURCES: json({ SLACK: source() }) })).toEqual([`SOURCES=***: SLACK: ${allowed}`])
  })
})

describe('API_KEYS', () => {
  const key = (more: object = {}) => ({ key: secret, name: 'ada', role: 'admin', ...more })
  const json = (...keys: object[]) => JSON.stringify(keys)
  const ada = { hash, name: 'ada', role: 'admin', tenant: '*' }

  it.each([
    ['as it is', key(), ada],
    ['as a marked hash', key({ key: `sha256:${hash}` }), ada],
    ['as a hash', { sha256: hash.toUpperCase(), name: 'ada', role: 'admin' }, ada],
    ['for one tenant', key({ role: 'viewer', tenant: 'T1' }), { ...ada, role: 'viewer', tenant: 'T1' }],
  ])('takes a key %s, and keeps its hash only', (_how, given, kept) => {
    expect(load({ API_KEYS: json(given) }).apiKeys).toEqual([kept])
    expect(JSON.stringify(load({ API_KEYS: json(given) }).apiKeys)).not.toContain(secret)
  })

  it('looks keys up by the hash that it keeps', () => {
    expect(hashKey(secret)).toBe(hash)
  })

  it('adds up with the file', () => {
    const env = { API_KEYS: json(key()), API_KEYS_FILE: file(json(key({ key: `${secret}2`, name: 'ben' }))) }
    expect(load(env).apiKeys.map(({ name }) => name)).toEqual(['ada', 'ben'])
  })

  it.each([
    [json(key({ key: 'hunter2' })), '0.key: must have at least 16 characters, or be a sha256 hash'],
    [json({ name: 'a', role: 'admin' }), '0: needs either key or sha256'],
    [json(key({ sha256: hash })), '0: needs either key or sha256'],
    [json({ sha256: 'ab', name: 'a', role: 'admin' }), '0.sha256: must be 64 hex digits'],
    [json(key(), key({ role: 'root' })), '1.role: Invalid option: expected one of "viewer"|"operator"|"admin"'],
    [json(key({ tenant: '' })), '0.tenant: Too small: expected string to have >=1 characters'],
    ['{}', 'JSON: Invalid input: expected array, received object'],
  ])('refuses %s', (text, allowed) => {
    expect(refused({ API_KEYS: text })).toEqual([`API_KEYS=***: ${allowed}`])
  })

  // The later one wins without a word: an admin may turn out to be a viewer, or the other way round.
  it('refuses a key that is given twice', () => {
    expect(refused({ API_KEYS: json(key(), key({ name: 'ben', role: 'viewer' })) })).toHaveLength(1)
    expect(refused({ API_KEYS: json(key()), API_KEYS_FILE: file(json(key())) })).toHaveLength(1)
  })

  // It is taken for a key that happens to begin with "sha256:", and whoever reads the setting can use it.
  it('refuses a marked hash with a digit too few', () => {
    expect(refused({ API_KEYS: json(key({ key: `sha256:${hash.slice(1)}` })) })).toHaveLength(1)
  })
})

describe('secrets', () => {
  const wrong = [
    secret,
    ...[`"${secret}"`, `["${secret}"]`, `{"slack":"${secret}"}`, `[{"name":"${secret}"}]`, `[{"role":"${secret}"}]`],
    `{"a":{"type":"${secret}","secrets":"${secret}","tenant":7}}`,
    `[{"key":7,"sha256":"${secret}"}]`,
    ...[`http://:${secret}@r`, `redis://:%${secret}@r`, `redis://${secret}:x`, `unix:${secret}`],
  ]
  const masked = Object.entries(settings).flatMap(([name, setting]) => ('secret' in setting ? [name] : []))
  const linesWith = (text: string) => masked.flatMap((name) => refused({ [name]: text, PORT: 'x' }))

  it.each(wrong)('are shown in no line, whichever setting holds %s', (text) => {
    expect(linesWith(text).length).toBeGreaterThan(masked.length)
    for (const line of linesWith(text)) expect(line).not.toContain(secret)
  })

  // A password with a slash in it ends up in the URL's path, which is repeated as "… is no database number".
  it.each([`redis://u:1/${secret}@r`, `redis://r/${secret}`])('are shown in no line for %s', (text) => {
    expect(linesWith(text).join()).not.toContain(secret)
  })

  // Unrecognized key: "…": a key where a field should be.
  it('are shown in no line when they stand where a name should', () => {
    expect(linesWith(`[{"${secret}":"admin"}]`).join()).not.toContain(secret)
  })
})
