import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { ConfigError, describeStore, loadConfig, type StoreAddress } from '../../src/config.ts'

const dir = mkdtempSync(join(tmpdir(), 'millrace-config-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const ca = join(dir, 'ca.pem')
writeFileSync(ca, 'a certificate')

const load = (env: Record<string, string>) => loadConfig(env, {}, false)
const local = { host: '127.0.0.1', port: 6379, db: 0 }
const forms = 'must be redis://host:port, rediss://host:port or unix:///path/to/socket'

function refused(env: Record<string, string>): readonly string[] {
  try {
    load(env)
  } catch (error) {
    if (error instanceof ConfigError) return error.lines
    throw error
  }
  return []
}

describe('REDIS_URL', () => {
  it.each([
    ['redis://r', { ...local, host: 'r' }],
    ['redis://', local],
    ['redis://r:7000/2', { host: 'r', port: 7_000, db: 2 }],
    ['redis://[::1]:7000', { host: '::1', port: 7_000, db: 0 }],
    ['redis://ada:p%40ss%2F@r', { ...local, host: 'r', username: 'ada', password: 'p@ss/' }],
    ['redis://:pass@r', { ...local, host: 'r', password: 'pass' }],
    ['rediss://r', { ...local, host: 'r', tls: {} }],
    ['unix:///run/redis%20s.sock?db=3', { ...local, path: '/run/redis s.sock', db: 3 }],
    ['unix:/run/s', { ...local, path: '/run/s' }],
  ])('takes %s', (url, address) => {
    expect(load({ REDIS_URL: url }).queueStore).toEqual(address)
  })

  it.each(['localhost:6379', '6379', 'http://r', 'redis://r:99999', 'redis://a b', 'redis://:pass', 'REDIS'])(
    'refuses %s',
    (url) => {
      expect(refused({ REDIS_URL: url })).toEqual([`REDIS_URL=***: ${forms}`])
    },
  )

  it.each(['redis://r/x', 'redis://r/0/1', 'redis://r/-1', 'redis://r/100', 'unix:///s?db=x'])(
    'refuses %s, and says which forms there are',
    (url) => {
      const lines = refused({ REDIS_URL: url })
      expect(lines).toHaveLength(1)
      expect(lines[0]).toContain(`REDIS_URL=***: ${forms}`)
    },
  )

  // "URI malformed", and no word of what is allowed.
  it('says which forms there are when the password is not percent-encoded', () => {
    expect(refused({ REDIS_URL: 'redis://:100%zz@r' })[0]).toContain(forms)
  })

  // With two slashes the first folder is the URL's host: another socket is opened, or 127.0.0.1:6379.
  it.each(['unix://run/redis.sock', 'unix://redis.sock'])('refuses %s', (url) => {
    expect(refused({ REDIS_URL: url })).toEqual([`REDIS_URL=***: ${forms}`])
  })

  // An unescaped ? or # in the password: what is before it is taken for host and port.
  it.each(['redis://u:1?x@r', 'redis://u:1#x@r'])('refuses %s', (url) => {
    expect(refused({ REDIS_URL: url })).toHaveLength(1)
  })
})

describe('REDIS_HOST and its like', () => {
  const parts = { REDIS_PORT: '7000', REDIS_USERNAME: 'ada', REDIS_PASSWORD: 'pass' }
  const filled = { port: 7_000, db: 0, username: 'ada', password: 'pass' }

  it('stand for a URL', () => {
    expect(load({ REDIS_HOST: 'r', ...parts }).queueStore).toEqual({ host: 'r', ...filled })
  })

  it('complete a URL that lacks them, and take back nothing of what it says', () => {
    expect(load({ REDIS_URL: 'redis://r', ...parts }).queueStore).toEqual({ host: 'r', ...filled })
    expect(load({ REDIS_URL: 'redis://', REDIS_HOST: 'r', ...parts }).queueStore).toEqual({ host: 'r', ...filled })
    const whole = 'redis://ben:word@s:7001/1'
    expect(load({ REDIS_URL: whole, REDIS_HOST: 'r', ...parts }).queueStore).toEqual({
      ...{ host: 's', port: 7_001, db: 1, username: 'ben', password: 'word' },
    })
  })

  it('give a socket its password', () => {
    expect(load({ REDIS_URL: 'unix:///s', REDIS_PASSWORD: 'pass' }).queueStore).toEqual({
      ...local,
      path: '/s',
      password: 'pass',
    })
  })

  it.each([
    ['by the scheme', { REDIS_URL: 'rediss://r' }, {}],
    ['by the switch', { REDIS_HOST: 'r', REDIS_TLS_ENABLED: 'true' }, {}],
    ['by the switch, beside a URL', { REDIS_URL: 'redis://r', REDIS_TLS_ENABLED: '1' }, {}],
    ['by a certificate authority', { REDIS_HOST: 'r', REDIS_TLS_CA: ca }, { ca: 'a certificate' }],
    ['by scheme and authority', { REDIS_URL: 'rediss://r', REDIS_TLS_CA: ca }, { ca: 'a certificate' }],
    ['not because of production', { REDIS_HOST: 'r', NODE_ENV: 'production' }, undefined],
    ['not when switched off', { REDIS_HOST: 'r', REDIS_TLS_CA: ca, REDIS_TLS_ENABLED: 'false' }, undefined],
  ])('turn TLS on %s', (_how, env, tls) => {
    expect((load(env as Record<string, string>).queueStore as StoreAddress).tls).toEqual(tls)
  })

  // The password would go over the wire as it is, under a URL that says rediss.
  it('refuse a rediss:// URL with TLS switched off', () => {
    expect(refused({ REDIS_URL: 'rediss://r', REDIS_TLS_ENABLED: 'false' })).toHaveLength(1)
  })

  it.each([
    ['REDIS_PORT', '7000'],
    ['REDIS_USERNAME', 'ada'],
    ['REDIS_PASSWORD', 'pass'],
    ['REDIS_TLS_ENABLED', 'true'],
    ['REDIS_TLS_CA', ca],
  ])('refuse %s alone: it would be for the managed store, which needs none', (name, value) => {
    expect(refused({ [name]: value })).toEqual([`${name} is set without REDIS_URL or REDIS_HOST: set one of them too`])
  })

  // A whole URL by mistake; describeStore() then shows its password in every message.
  it('refuse a host that is none', () => {
    expect(refused({ REDIS_HOST: 'redis://ada:pass@r' })).toHaveLength(1)
  })
})

describe('CACHE_REDIS_URL', () => {
  it.each([
    ['nothing is given', {}, 'managed', 'managed'],
    ['a queue store alone is given', { REDIS_URL: 'redis://r' }, { ...local, host: 'r' }, { ...local, host: 'r' }],
    [
      'both are given',
      { REDIS_URL: 'redis://r', CACHE_REDIS_URL: 'redis://c:7001/1' },
      { ...local, host: 'r' },
      { host: 'c', port: 7_001, db: 1 },
    ],
    ['it alone is given', { CACHE_REDIS_URL: 'redis://c:7001' }, 'managed', { host: 'c', port: 7_001, db: 0 }],
  ])('says where the cache is when %s', (_when, env, queue, cache) => {
    const { queueStore, cacheStore } = load(env as Record<string, string>)
    expect([queueStore, cacheStore]).toEqual([queue, cache])
  })

  it('takes none of the parts, which are the queue store’s', () => {
    const env = { REDIS_HOST: 'r', REDIS_PASSWORD: 'pass', CACHE_REDIS_URL: 'redis://c:7001' }
    expect(load(env).cacheStore).toEqual({ host: 'c', port: 7_001, db: 0 })
  })

  // Port 0, and with redis:// alone an empty host: the defaults are filled in for the queue store only.
  it('has the usual port when it names none', () => {
    expect(load({ CACHE_REDIS_URL: 'redis://c' }).cacheStore).toEqual({ ...local, host: 'c' })
  })
})

describe('describeStore', () => {
  it.each([
    ['redis://ada:pass@r:7000/2', 'redis://r:7000'],
    ['rediss://:pass@r', 'rediss://r:6379'],
    ['unix:///run/s', 'unix:///run/s'],
  ])('names %s without user and password', (url, shown) => {
    expect(describeStore(load({ REDIS_URL: url }).queueStore as StoreAddress)).toBe(shown)
  })
})
