import { organizationMistakes } from './config/organizations.ts'
import { type Setting, settings, shortForms } from './config/settings.ts'
import type {
  ApiKeyConfig,
  Durability,
  Organization,
  Role,
  SourceConfig,
  SourceType,
  StoreAddress,
} from './config/types.ts'
import type { LimitRule } from './define/services.ts'
import { messageOf } from './errors.ts'

export { hashKey } from './config/schemas.ts'
export { settings } from './config/settings.ts'
export * from './config/types.ts'

/*
 * Environment → one frozen Config. This is the only file that reads process.env, and it does so once, before anything
 * starts.
 */

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
  /** `read` gives all sources anew, those of the environment included. Throws with what is wrong in the file. */
  readonly sourcesFile?: { readonly path: string; readonly read: () => readonly SourceConfig[] }
  /** Undefined: an embedded database in `dataDir`. */
  readonly databaseUrl: string | undefined
  readonly sessionTtlMs: number
  readonly organizations: readonly Organization[]
  /** As `sourcesFile`, for organizations. */
  readonly organizationsFile?: { readonly path: string; readonly read: () => readonly Organization[] }
  /** Empty: one admin key is made on first start. */
  readonly apiKeys: readonly ApiKeyConfig[]
  /** Requests of one API key; undefined is no limit. */
  readonly apiRate: LimitRule | undefined
  readonly bodyLimit: number
  readonly ackDeadlineMs: number
  readonly cacheTimeoutMs: number
  readonly memoryWatermark: number
  /** Bytes; 0 is off. */
  readonly spoolLimit: number
  readonly inbox: { readonly retentionMs: number; readonly limit: number }
  readonly live: { readonly clients: number; readonly heartbeatMs: number; readonly clientBytes: number }
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
  const fixed = get('SOURCES') ?? []
  const fromFile = get('SOURCES_FILE') ?? []
  for (const [type, name] of Object.entries(shortForms) as [SourceType, keyof typeof settings][]) {
    const given = get(name) as string[] | undefined
    if (given) fixed.push({ name: type, type, secrets: given, tenant: undefined })
  }
  lines.push(...twice([...fixed, ...fromFile]))

  const organizations = get('ORGANIZATIONS') ?? []
  const allOrganizations = [...organizations, ...(get('ORGANIZATIONS_FILE') ?? [])]
  lines.push(...organizationMistakes(allOrganizations))

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
    sources: [...fixed, ...fromFile],
    ...(env.SOURCES_FILE === undefined
      ? {}
      : { sourcesFile: { path: env.SOURCES_FILE, read: () => readSources(fixed, env.SOURCES_FILE as string) } }),
    databaseUrl: get('DATABASE_URL'),
    sessionTtlMs: must('SESSION_TTL'),
    organizations: allOrganizations,
    ...(env.ORGANIZATIONS_FILE === undefined
      ? {}
      : {
          organizationsFile: {
            path: env.ORGANIZATIONS_FILE,
            read: () => readOrganizations(organizations, env.ORGANIZATIONS_FILE as string),
          },
        }),
    apiKeys,
    apiRate: must('API_RATE'),
    bodyLimit: must('BODY_LIMIT'),
    ackDeadlineMs: must('ACK_DEADLINE'),
    cacheTimeoutMs: must('CACHE_TIMEOUT'),
    memoryWatermark: must('MEMORY_WATERMARK'),
    spoolLimit: must('SPOOL_LIMIT'),
    inbox: { retentionMs: must('INBOX_RETENTION'), limit: must('INBOX_LIMIT') },
    live: {
      clients: must('LIVE_CLIENTS'),
      heartbeatMs: must('LIVE_HEARTBEAT'),
      clientBytes: must('LIVE_CLIENT_BUFFER'),
    },
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

function readSources(fixed: readonly SourceConfig[], path: string): readonly SourceConfig[] {
  const sources = [...fixed, ...settings.SOURCES_FILE.parse(path)]
  const [mistake] = twice(sources)
  if (mistake !== undefined) throw new Error(mistake)
  return sources
}

function readOrganizations(fixed: readonly Organization[], path: string): readonly Organization[] {
  const all = [...fixed, ...settings.ORGANIZATIONS_FILE.parse(path)]
  const [mistake] = organizationMistakes(all)
  if (mistake !== undefined) throw new Error(mistake)
  return all
}

function twice(sources: readonly SourceConfig[]): string[] {
  return sources
    .filter(({ name }, index) => sources.findIndex((other) => other.name === name) !== index)
    .map(({ name }) => `SOURCES: the source ${JSON.stringify(name)} is given twice; keep one, with all its secrets`)
}

/** How a store is called in messages: no user, no password. */
export function describeStore(address: StoreAddress): string {
  return address.path
    ? `unix://${address.path}`
    : `${address.tls ? 'rediss' : 'redis'}://${address.host}:${address.port}`
}
