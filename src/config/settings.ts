import { organizationsSchema } from './organizations.ts'
import {
  bytes,
  databaseUrl,
  duration,
  file,
  flag,
  folder,
  host,
  json,
  jsonFile,
  list,
  oneOf,
  prefix,
  rate,
  secrets,
  share,
  sizeOrOff,
  text,
  url,
  whole,
} from './parsers.ts'
import { isStandardSecret, keysSchema, sourcesSchema, standardSecretRule } from './schemas.ts'
import { roles, type SourceType } from './types.ts'

/* The reference of all settings: docs/settings.md lists the same names and defaults, and a test compares them. */

export type Setting<T> = {
  readonly fallback: string | undefined
  readonly meaning: string
  /** Throws with what is allowed. */
  readonly parse: (text: string) => T
  readonly secret?: true
}

/** Variables that stand for a source named like its type. */
export const shortForms = {
  slack: 'SLACK_SIGNING_SECRET',
  github: 'GITHUB_WEBHOOK_SECRET',
  stripe: 'STRIPE_WEBHOOK_SECRET',
  standard: 'STANDARD_WEBHOOK_SECRET',
} as const satisfies Partial<Record<SourceType, string>>

function shortForm(type: SourceType, parse: (value: string) => string[]) {
  const meaning = `short form for a source named ${type}; several separated by commas`
  return { fallback: undefined, meaning, parse, secret: true } as const
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
    parse: folder,
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
  SOURCES_FILE: {
    fallback: undefined,
    meaning: 'file with the same JSON; read again when it changes',
    parse: jsonFile(sourcesSchema()),
  },
  SLACK_SIGNING_SECRET: shortForm('slack', secrets),
  GITHUB_WEBHOOK_SECRET: shortForm('github', secrets),
  STRIPE_WEBHOOK_SECRET: shortForm('stripe', secrets),
  STANDARD_WEBHOOK_SECRET: shortForm('standard', (value) => {
    const all = secrets(value)
    if (!all.every(isStandardSecret)) throw new Error(standardSecretRule)
    return all
  }),
  SPOOL_LIMIT: {
    fallback: '256mb',
    meaning: 'local disk spool for events while the queue store is away; 0 turns it off',
    parse: sizeOrOff(1024 ** 4),
  },
  INBOX_RETENTION: {
    fallback: '24h',
    meaning: 'how long accepted events can be found and replayed',
    parse: duration(60_000, 90 * 86_400_000),
  },
  INBOX_LIMIT: {
    fallback: '64mb',
    meaning: 'memory of the queue store for that; 0 turns it off',
    parse: sizeOrOff(1024 ** 4),
  },
  DATABASE_URL: {
    fallback: undefined,
    meaning: 'PostgreSQL that keeps sessions; an embedded one in DATA_DIR when unset',
    parse: databaseUrl,
    secret: true,
  },
  SESSION_TTL: {
    fallback: '24h',
    meaning: 'how long an unused session stays in the cache store; the database has it after that',
    parse: duration(1_000, 90 * 86_400_000),
  },
  ORGANIZATIONS: {
    fallback: undefined,
    meaning: 'JSON: organizations with their Slack teams, quota and references to secrets',
    parse: json(organizationsSchema()),
    secret: true,
  },
  ORGANIZATIONS_FILE: {
    fallback: undefined,
    meaning: 'file with the same JSON; read again when it changes',
    parse: jsonFile(organizationsSchema()),
  },
  API_KEYS: {
    fallback: undefined,
    meaning: 'JSON: keys with name, role and tenant; one admin key is made when unset',
    parse: json(keysSchema()),
    secret: true,
  },
  API_KEYS_FILE: { fallback: undefined, meaning: 'file with the same JSON', parse: jsonFile(keysSchema()) },
  API_RATE: {
    fallback: '600/1m',
    meaning: 'requests to /api of one key in any such time, or off',
    parse: rate,
  },
  BODY_LIMIT: { fallback: '1mb', meaning: 'largest request body', parse: bytes },
  ACK_DEADLINE: {
    fallback: '1500ms',
    meaning: 'longest wait for the store before the spool, or a 503',
    parse: duration(1, 60_000),
  },
  CACHE_TIMEOUT: {
    fallback: '30ms',
    meaning: 'longest wait for the cache store before a value is computed instead',
    parse: duration(1, 10_000),
  },
  MEMORY_WATERMARK: {
    fallback: '0.8',
    meaning: "share of the queue store's maxmemory above which new work is spooled or refused",
    parse: share,
  },
  LIVE_CLIENTS: {
    fallback: '5000',
    meaning: 'how many may listen at /api/stream of this process',
    parse: whole(1, 100_000),
  },
  LIVE_HEARTBEAT: {
    fallback: '15s',
    meaning: 'longest silence of a stream',
    parse: duration(1_000, 300_000),
  },
  LIVE_CLIENT_BUFFER: {
    fallback: '256kb',
    meaning: 'bytes that may wait for a listener before it is cut off',
    parse: bytes,
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
