import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { type Config, ConfigError, hashKey, loadConfig, settings } from '../src/config.ts'
import { forms, letters, perTime, port, size, sizeOrNone, time } from './config/allowed.ts'
import { type Env, liveRows, type Row, sessionRows, tenantRows } from './config/rows.ts'

const load = (env: Env = {}, flags = {}, isTerminal = false) => loadConfig(env, flags, isTerminal)

/** What a start with these would say. */
function refused(env: Env, flags = {}): readonly string[] {
  try {
    load(env, flags)
  } catch (error) {
    if (error instanceof ConfigError) return error.lines
    throw error
  }
  return []
}

const dir = mkdtempSync(join(tmpdir(), 'millrace-config-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const file = (name: string, text: string): string => {
  writeFileSync(join(dir, name), text)
  return join(dir, name)
}

const missing = join(dir, 'missing')
const secret = 'correct-horse-battery-staple'
const local = { host: '127.0.0.1', port: 6379, db: 0 }
const slack = { name: 'slack', type: 'slack', secrets: [secret], tenant: undefined }
const sources = JSON.stringify({ slack: { type: 'slack', secrets: [secret] } })
const ada = { hash: hashKey(secret), name: 'ada', role: 'admin', tenant: '*' }
const keys = JSON.stringify([{ key: secret, name: 'ada', role: 'admin' }])

const standardSecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const unread = `cannot be read: ENOENT: no such file or directory, open '${missing}'`
const roles = 'http, worker, scheduler'
const host = { REDIS_HOST: 'r' }

const queueStore = ({ queueStore: store }: Config) => (store === 'managed' ? store : { ...store })
const part = (name: 'host' | 'port' | 'username' | 'password' | 'tls') => (config: Config) =>
  config.queueStore === 'managed' ? undefined : config.queueStore[name]

const shortForm = (type: 'github' | 'stripe'): Row => ({
  of: (c) => c.sources,
  unset: [],
  good: [[secret, [{ ...slack, name: type, type }]]],
  bad: [[',', 'must hold at least one secret']],
})

const table: Record<keyof typeof settings, Row> = {
  PORT: {
    of: (c) => c.port,
    unset: 3_000,
    good: [
      ['0', 0],
      ['65535', 65_535],
    ],
    bad: ['65536', '-1', '80a', ' 80', '1e3', '0x50'].map((text) => [text, port(0)]),
  },
  HOST: { of: (c) => c.host, unset: '127.0.0.1', good: [['::', '::']], bad: [] },
  ROLES: {
    of: (c) => c.roles,
    unset: ['http', 'worker', 'scheduler'],
    good: [['worker, http,worker,', ['worker', 'http']]],
    bad: [
      ['http,wrker', `"wrker" is none of ${roles}`],
      [',', `must name at least one of ${roles}`],
    ],
  },
  WORKERS: {
    of: (c) => c.workers,
    unset: undefined,
    good: [['a, b', ['a', 'b']]],
    bad: [[' ,', 'must name at least one']],
  },
  DATA_DIR: { of: (c) => c.dataDir, unset: resolve('.data'), good: [['x/../y', resolve('y')]], bad: [] },
  REDIS_URL: {
    of: queueStore,
    unset: 'managed',
    good: [['redis://r:7000/2', { host: 'r', port: 7_000, db: 2 }]],
    bad: [['localhost:6379', forms]],
  },
  CACHE_REDIS_URL: {
    of: (c) => c.cacheStore,
    unset: 'managed',
    good: [['redis://c:7001/1', { host: 'c', port: 7_001, db: 1 }]],
    bad: [['c:7001', forms]],
  },
  REDIS_HOST: { of: queueStore, unset: 'managed', good: [['r', { ...local, host: 'r' }]], bad: [] },
  REDIS_PORT: {
    of: part('port'),
    besides: host,
    unset: 6_379,
    good: [['7000', 7_000]],
    bad: [
      ['0', port(1)],
      ['x', port(1)],
    ],
  },
  REDIS_USERNAME: { of: part('username'), besides: host, unset: undefined, good: [['ada', 'ada']], bad: [] },
  REDIS_PASSWORD: { of: part('password'), besides: host, unset: undefined, good: [[secret, secret]], bad: [] },
  REDIS_TLS_ENABLED: {
    of: part('tls'),
    besides: host,
    unset: undefined,
    good: [
      ['true', {}],
      ['1', {}],
      ['false', undefined],
      ['0', undefined],
    ],
    bad: [
      ['yes', 'must be true or false'],
      ['TRUE', 'must be true or false'],
    ],
  },
  REDIS_TLS_CA: {
    of: part('tls'),
    besides: host,
    unset: undefined,
    good: [[file('ca.pem', 'a certificate'), { ca: 'a certificate' }]],
    bad: [[missing, unread]],
  },
  REDIS_CONNECT_TIMEOUT: {
    of: (c) => c.connectTimeoutMs,
    unset: 10_000,
    good: [
      ['10000', 10_000],
      ['1.5s', 1_500],
    ],
    bad: ['0', '0ms', '11m', '10 s', 'soon', '-1s'].map((text) => [text, time('1ms', '10m')]),
  },
  KEY_PREFIX: {
    of: (c) => c.keyPrefix,
    unset: 'millrace',
    good: [['a.B_1-', 'a.B_1-']],
    bad: ['a:b', '{a}', 'a b', 'x'.repeat(65)].map((text) => [text, letters]),
  },
  DURABILITY: {
    of: (c) => c.durability,
    unset: 'always',
    good: [
      ['waitaof', 'waitaof'],
      ['everysec', 'everysec'],
    ],
    bad: [['never', 'must be one of always, waitaof, everysec']],
  },
  SOURCES: {
    of: (c) => c.sources,
    unset: [],
    good: [[sources, [slack]]],
    bad: [
      ['{"slack":{"type":"x","secrets":["y"]}}', 'slack.type: must be one of slack, github, stripe, standard, hmac'],
    ],
  },
  SOURCES_FILE: {
    of: (c) => c.sources,
    unset: [],
    good: [[file('sources.json', sources), [slack]]],
    bad: [
      [missing, unread],
      [file('no.json', secret), 'must be JSON'],
    ],
  },
  SLACK_SIGNING_SECRET: {
    of: (c) => c.sources,
    unset: [],
    good: [
      [secret, [slack]],
      [` ${secret} ,second,`, [{ ...slack, secrets: [secret, 'second'] }]],
    ],
    bad: [[' , ', 'must hold at least one secret']],
  },
  GITHUB_WEBHOOK_SECRET: shortForm('github'),
  STRIPE_WEBHOOK_SECRET: shortForm('stripe'),
  STANDARD_WEBHOOK_SECRET: {
    of: (c) => c.sources,
    unset: [],
    good: [[standardSecret, [{ ...slack, name: 'standard', type: 'standard', secrets: [standardSecret] }]]],
    bad: [
      [
        `${standardSecret},plain`,
        'must be whsec_ and 24 to 64 bytes, whpk_ and 32 bytes, or whsk_ and 64 bytes, all in base64',
      ],
    ],
  },
  SPOOL_LIMIT: {
    of: (c) => c.spoolLimit,
    unset: 256 * 1_048_576,
    good: [
      ['0', 0],
      ['2gb', 2 * 1024 ** 3],
    ],
    bad: ['512kb', '-1', 'lots', '1025gb'].map((text) => [text, sizeOrNone]),
  },
  INBOX_RETENTION: {
    of: (c) => c.inbox.retentionMs,
    unset: 86_400_000,
    good: [['7d', 7 * 86_400_000]],
    bad: [['1s', time('1m', '90d')]],
  },
  INBOX_LIMIT: {
    of: (c) => c.inbox.limit,
    unset: 64 * 1_048_576,
    good: [['0', 0]],
    bad: [['1kb', sizeOrNone]],
  },
  ...sessionRows,
  ...tenantRows({ file, missing, unread }),
  API_KEYS: {
    of: (c) => c.apiKeys,
    unset: [],
    good: [[keys, [ada]]],
    bad: [['[{"name":"a","role":"admin"}]', '0: needs either key or sha256']],
  },
  API_KEYS_FILE: {
    of: (c) => c.apiKeys,
    unset: [],
    good: [[file('keys.json', keys), [ada]]],
    bad: [[missing, unread]],
  },
  API_RATE: {
    of: (c) => c.apiRate,
    unset: { max: 600, per: '1m' },
    good: [['100/30s', { max: 100, per: '30s' }]],
    bad: ['600', '0/1m', '600/m', '600/10ms', '100001/1m', '1/2d', '-5/1m', ' 6/1m'].map((text) => [text, perTime]),
  },
  BODY_LIMIT: {
    of: (c) => c.bodyLimit,
    unset: 1_048_576,
    good: [
      ['1024', 1_024],
      ['512kb', 524_288],
      ['25MB', 25 * 1_048_576],
    ],
    bad: ['1023', '257mb', '1.5mb', '1 mb', 'mb', '1gb'].map((text) => [text, size]),
  },
  ACK_DEADLINE: { of: (c) => c.ackDeadlineMs, unset: 1_500, good: [['2s', 2_000]], bad: [['61s', time('1ms', '1m')]] },
  CACHE_TIMEOUT: { of: (c) => c.cacheTimeoutMs, unset: 30, good: [['1s', 1_000]], bad: [['11s', time('1ms', '10s')]] },
  MEMORY_WATERMARK: {
    of: (c) => c.memoryWatermark,
    unset: 0.8,
    good: [['.5', 0.5]],
    bad: ['0', '1.1', '80%', '-0.5', '5e-1'].map((text) => [text, 'must be a number above 0 and up to 1']),
  },
  ...liveRows,
  SHUTDOWN_GRACE: {
    of: (c) => c.shutdownGraceMs,
    unset: 30_000,
    good: [['0', 0]],
    bad: [['2h', time('0ms', '1h')]],
  },
  LOG_LEVEL: {
    of: (c) => c.logLevel,
    unset: 'info',
    good: [['silent', 'silent']],
    bad: [['INFO', 'must be one of trace, debug, info, warn, error, fatal, silent']],
  },
  LOG_FORMAT: {
    of: (c) => c.logFormat,
    unset: 'json',
    good: [['pretty', 'pretty']],
    bad: [['xml', 'must be one of pretty, json']],
  },
}

describe.each(Object.entries(table))('%s', (name, { of, unset, good, bad, besides = {} }) => {
  const masked = 'secret' in settings[name as keyof typeof settings]

  it('has its default when it is unset, and when it is empty', () => {
    expect(of(load(besides))).toEqual(unset)
    expect(of(load({ ...besides, [name]: '' }))).toEqual(unset)
  })

  it.each(good)('takes %s', (text, value) => {
    expect(of(load({ ...besides, [name]: text }))).toEqual(value)
  })

  it.runIf(bad.length > 0).each(bad)('refuses %s in one line', (text, allowed) => {
    expect(refused({ ...besides, [name]: text })).toEqual([
      `${name}=${masked ? '***' : JSON.stringify(text)}: ${allowed}`,
    ])
  })
})

it('tells of all mistakes at once, each in a line of its own', () => {
  const names = Object.entries(table).flatMap(([name, { bad }]) => (bad[0] ? [name] : []))
  const env = Object.fromEntries(names.map((name) => [name, table[name as keyof typeof table].bad[0]?.[0]]))
  const lines = refused(env)
  expect(lines.map((line) => line.split('=')[0]).sort()).toEqual(names.sort())
  expect(new ConfigError(lines).message).toBe(lines.join('\n'))
})
