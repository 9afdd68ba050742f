import { resolve } from 'node:path'
import {
  bytes,
  duration,
  file,
  flag,
  host,
  json,
  jsonFile,
  list,
  oneOf,
  prefix,
  secrets,
  share,
  text,
  url,
  whole,
} from './config/parsers.ts'
import { keysSchema, sourcesSchema } from './config/schemas.ts'
import type { ApiKeyConfig, SourceConfig, StoreAddress } from './config/types.ts'
import { messageOf } from './errors.ts'

export { hashKey } from './config/schemas.ts'
export type * from './config/types.ts'

/*
 * Environment → one frozen Config. This is the only file that reads process.env, and it does so once, before anything
 * starts. `settings` is the reference: docs/settings.md lists the same names and defaults, and a test compares them.
 */

export const roles = ['http', 'worker', 'scheduler'] as const
export type Role = (typeof roles)[number]
export type Durability = 'always' | 'waitaof' | 'everysec'

export type Config = {
  readonly host: string
  readonly port: number
  readonly roles: readonly Role[]
  /** Queues this process works on; undefined for all. */
  readonly workers: readonly string[] | undefined
  readonly dataDir: string
  readonly queueStore: StoreAddress | 'managed'
  readonly cacheStore: StoreAddress | 'managed'
  readonly connectTimeoutMs: number
  readonly keyPrefix: string
  readonly durability: Durability
  readonly sources: readonly SourceConfig[]
  /** Empty: one admin key is made on first start. */
  readonly apiKeys: readonly ApiKeyConfig[]
  readonly bodyLimit: number
  readonly ackDeadlineMs: number
  readonly memoryWatermark: number
  readonly shutdownGraceMs: number
  readonly logLevel: string
  readonly logFormat: 'pretty' | 'json'
  /** Everything that was set, for the `settings` that workers declare. */
  readonly env: Readonly<Record<string, string>>
}

/** One line for each mistake. main exits with 78 (EX_CONFIG of sysexits.h). */
export class ConfigError extends Error {
  readonly lines: readonly string[]
  constructor(lines: readonly string[]) {
    super(lines.join('\n'))
    this.name = 'ConfigError'
    this.lines = lines
  }
}

type Setting<T> = {
  readonly fallback: string | undefined
  readonly meaning: string
  /** Throws with what is allowed. */
  readonly parse: (text: string) => T
  readonly secret?: true
}

export const settings = {
  PORT: { fallback: '3000', meaning: 'HTTP port; 0 takes a free one and prints it', parse: whole(0, 65_535) },
  HOST: { fallback: '127.0.0.1', meaning: 'address to listen on', parse: text },
  ROLES: { fallback: 'http,worker,scheduler', meaning: 'what this process does (or --roles)', parse: list(roles) },
  WORKERS: {
    fallback: undefined,
    meaning: 'queues this process works on (or --workers); all when unset',
    parse: list(),
  },
  DATA_DIR: {
    fallback: '.data',
    meaning: 'managed stores and generated secrets; mode 0700',
    parse: (t: string) => resolve(t),
  },
  REDIS_URL: {
    fallback: undefined,
    meaning: 'queue store: redis://, rediss:// or unix://; managed when unset',
    parse: url,
    secret: true,
  },
  CACHE_REDIS_URL: {
    fallback: undefined,
    meaning: "cache store; managed when unset, or the queue store's when that alone is given",
    parse: url,
    secret: true,
  },
  REDIS_HOST: { fallback: undefined, meaning: 'completes REDIS_URL, or stands for it', parse: host },
  REDIS_PORT: { fallback: undefined, meaning: 'completes REDIS_URL', parse: whole(1, 65_535) },
  REDIS_USERNAME: { fallback: undefined, meaning: 'completes REDIS_URL', parse: text },
  REDIS_PASSWORD: { fallback: undefined, meaning: 'completes REDIS_URL', parse: text, secret: true },
  REDIS_TLS_ENABLED: {
    fallback: undefined,
    meaning: 'TLS to the queue store; on by itself with rediss://',
    parse: flag,
  },
  REDIS_TLS_CA: { fallback: undefined, meaning: 'file with the certificate authority of the queue store', parse: file },
  REDIS_CONNECT_TIMEOUT: {
    fallback: '10s',
    meaning: 'longest wait for a connection, at the start too',
    parse: duration(1, 600_000),
  },
  KEY_PREFIX: {
    fallback: 'millrace',
    meaning: "first part of every key, BullMQ's included (also REDIS_KEY_PREFIX)",
    parse: prefix,
  },
  DURABILITY: {
    fallback: 'always',
    meaning: 'what a 2xx means: always, waitaof or everysec',
    parse: oneOf('always', 'waitaof', 'everysec'),
  },
  SOURCES: {
    fallback: undefined,
    meaning: 'JSON: where events come from and how they prove it',
    parse: json(sourcesSchema()),
    secret: true,
  },
  SOURCES_FILE: { fallback: undefined, meaning: 'file with the same JSON', parse: jsonFile(sourcesSchema()) },
  SLACK_SIGNING_SECRET: {
    fallback: undefined,
    meaning: 'short form for a source named slack; several separated by commas',
    parse: secrets,
    secret: true,
  },
  API_KEYS: {
    fallback: undefined,
    meaning: 'JSON: keys with name, role and tenant; one admin key is made when unset',
    parse: json(keysSchema()),
    secret: true,
  },
  API_KEYS_FILE: { fallback: undefined, meaning: 'file with the same JSON', parse: jsonFile(keysSchema()) },
  BODY_LIMIT: { fallback: '1mb', meaning: 'largest request body', parse: bytes },
  ACK_DEADLINE: { fallback: '1500ms', meaning: 'longest wait for the store before a 503', parse: duration(1, 60_000) },
  MEMORY_WATERMARK: {
    fallback: '0.8',
    meaning: "share of the queue store's maxmemory above which new work is refused",
    parse: share,
  },
  SHUTDOWN_GRACE: { fallback: '30s', meaning: 'one deadline for the whole stop', parse: duration(0, 3_600_000) },
  LOG_LEVEL: {
    fallback: 'info',
    meaning: 'least level that is logged',
    parse: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
  },
  LOG_FORMAT: {
    fallback: undefined,
    meaning: 'pretty or json; pretty on a terminal when unset',
    parse: oneOf('pretty', 'json'),
  },
} as const satisfies Record<string, Setting<unknown>>

type Name = keyof typeof settings
type Value<N extends Name> = ReturnType<(typeof settings)[N]['parse']>

/** Reads and checks everything. `flags` are command-line values that go before the environment. Throws {@link ConfigError}. */
export function loadConfig(
  environment: Readonly<Record<string, string | undefined>> = process.env,
  flags: { roles?: string | undefined; workers?: string | undefined } = {},
  isTerminal: boolean = Boolean(process.stdout.isTTY),
): Config {
  const lines: string[] = []
  // An empty variable is how compose files and shells say "unset".
  const env = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''),
  ) as Record<string, string>
  if (flags.roles !== undefined) env.ROLES = flags.roles
  if (flags.workers !== undefined) env.WORKERS = flags.workers
  const alias = env.KEY_PREFIX === undefined && env.REDIS_KEY_PREFIX !== undefined ? 'REDIS_KEY_PREFIX' : 'KEY_PREFIX'
  if (env[alias] !== undefined) env.KEY_PREFIX = env[alias]

  function get<N extends Name>(name: N): Value<N> | undefined {
    const setting: Setting<unknown> = settings[name]
    const given = env[name] ?? setting.fallback
    if (given === undefined) return undefined
    try {
      return setting.parse(given) as Value<N>
    } catch (error) {
      lines.push(
        `${name === 'KEY_PREFIX' ? alias : name}=${setting.secret ? '***' : JSON.stringify(given)}: ${messageOf(error)}`,
      )
      return undefined
    }
  }
  // A setting with a default is undefined only after a mistake, and then the Config never leaves this function.
  const must = <N extends Name>(name: N) => get(name) as Value<N>

  const queueStore = storeAddress()
  const cacheUrl = get('CACHE_REDIS_URL')
  const fromEnv = get('SOURCES') ?? []
  const fromFile = get('SOURCES_FILE') ?? []
  const slack = get('SLACK_SIGNING_SECRET')
  const sources = [...fromEnv, ...fromFile]
  if (slack) sources.push({ name: 'slack', type: 'slack', secrets: slack, tenant: undefined })
  for (const [index, source] of sources.entries())
    if (sources.findIndex((other) => other.name === source.name) !== index)
      lines.push(`SOURCES: the source ${JSON.stringify(source.name)} is given twice; keep one, with all its secrets`)

  const apiKeys = [...(get('API_KEYS') ?? []), ...(get('API_KEYS_FILE') ?? [])]
  for (const [index, key] of apiKeys.entries())
    if (apiKeys.findIndex((other) => other.hash === key.hash) !== index)
      lines.push(
        `API_KEYS: the key named ${JSON.stringify(key.name)} is given twice; give everybody a key of their own`,
      )

  const config: Config = {
    host: must('HOST'),
    port: must('PORT'),
    roles: must('ROLES') as Role[],
    workers: get('WORKERS'),
    dataDir: must('DATA_DIR'),
    queueStore,
    cacheStore: cacheUrl ? withDefaults(cacheUrl) : queueStore,
    connectTimeoutMs: must('REDIS_CONNECT_TIMEOUT'),
    keyPrefix: must('KEY_PREFIX'),
    durability: must('DURABILITY'),
    sources,
    apiKeys,
    bodyLimit: must('BODY_LIMIT'),
    ackDeadlineMs: must('ACK_DEADLINE'),
    memoryWatermark: must('MEMORY_WATERMARK'),
    shutdownGraceMs: must('SHUTDOWN_GRACE'),
    logLevel: must('LOG_LEVEL'),
    logFormat: get('LOG_FORMAT') ?? (isTerminal ? 'pretty' : 'json'),
    env,
  }
  if (lines.length > 0) throw new ConfigError(lines)
  return Object.freeze(config)

  function storeAddress(): StoreAddress | 'managed' {
    const [given, host, port] = [get('REDIS_URL'), get('REDIS_HOST'), get('REDIS_PORT')]
    const [username, password, ca] = [get('REDIS_USERNAME'), get('REDIS_PASSWORD'), get('REDIS_TLS_CA')]
    const tls = get('REDIS_TLS_ENABLED') ?? (given?.tls !== undefined || ca !== undefined)
    if (given?.tls !== undefined && tls === false)
      lines.push('REDIS_TLS_ENABLED="false": contradicts rediss:// in REDIS_URL; say the same in both')
    if (given === undefined && env.REDIS_URL === undefined && host === undefined) {
      for (const name of [
        'REDIS_PORT',
        'REDIS_USERNAME',
        'REDIS_PASSWORD',
        'REDIS_TLS_ENABLED',
        'REDIS_TLS_CA',
      ] as const)
        if (env[name] !== undefined) lines.push(`${name} is set without REDIS_URL or REDIS_HOST: set one of them too`)
      return 'managed'
    }
    return Object.freeze({
      ...withDefaults({ host: given?.host || host || '', port: given?.port || port || 0, db: given?.db ?? 0 }),
      ...(given?.path === undefined ? {} : { path: given.path }),
      ...((given?.username ?? username) === undefined ? {} : { username: given?.username ?? (username as string) }),
      ...((given?.password ?? password) === undefined ? {} : { password: given?.password ?? (password as string) }),
      ...(tls ? { tls: ca === undefined ? {} : { ca } } : {}),
    })
  }
}

function withDefaults(address: StoreAddress): StoreAddress {
  return address.path ? address : { ...address, host: address.host || '127.0.0.1', port: address.port || 6379 }
}

/** How a store is called in messages: no user, no password. */
export function describeStore(address: StoreAddress): string {
  return address.path
    ? `unix://${address.path}`
    : `${address.tls ? 'rediss' : 'redis'}://${address.host}:${address.port}`
}
