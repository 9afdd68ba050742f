import { randomBytes } from 'node:crypto'
import { accessSync, chmodSync, constants, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type ApiKeyConfig, type Config, ConfigError, hashKey, type SourceConfig } from '../config.ts'
import { messageOf } from '../errors.ts'

/*
 * Secrets that are made once, in DATA_DIR, so that a first start works with nothing configured. Whoever sets API_KEYS or
 * a signing secret replaces them.
 */

export type Generated<T> = {
  readonly value: T
  /** The secret itself, if it was made just now. */
  readonly made: string | undefined
  /** Whether it is the one of this DATA_DIR, and not configured. */
  readonly isOurs: boolean
  readonly file: string
}

/**
 * Makes DATA_DIR where it is not there. Throws ConfigError. Level by level, because Node's own recursive mkdir turns round and
 * round for ever where a file system has its own mind, such as /proc.
 */
export function makeDataDir({ dataDir }: Config): void {
  const missing: string[] = []
  for (let dir = dataDir; !existsSync(dir); dir = dirname(dir)) missing.unshift(dir)
  try {
    for (const dir of missing) mkdirSync(dir, { mode: 0o700 })
    accessSync(dataDir, constants.W_OK | constants.X_OK)
    if (!statSync(dataDir).isDirectory()) throw new Error('it is no folder')
  } catch (error) {
    // Of two processes that start at once the other one made it.
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return
    throw new ConfigError([`DATA_DIR=${JSON.stringify(dataDir)}: cannot be used: ${messageOf(error)}`])
  }
}

/** The keys that are configured, or the one admin key of this DATA_DIR. */
export function apiKeysOf(config: Config): Generated<readonly ApiKeyConfig[]> {
  const file = join(config.dataDir, 'admin-key')
  if (config.apiKeys.length > 0) return { value: config.apiKeys, made: undefined, isOurs: false, file }
  const { secret, isNew } = secretFile(file, () => `mr_${randomBytes(32).toString('base64url')}`)
  return {
    value: [{ hash: hashKey(secret), name: 'admin', role: 'admin', tenant: '*' }],
    made: isNew ? secret : undefined,
    isOurs: true,
    file,
  }
}

/**
 * The sources that are configured, or local ones for trying things out, one of each type that needs no more than a secret:
 * the real providers do not know these secrets.
 */
export function sourcesOf(config: Config): Generated<readonly SourceConfig[]> {
  const file = join(config.dataDir, 'slack-signing-secret')
  // A file may be empty for now; it says what there is, so that a source made up beside it would go with its next reading.
  if (config.sources.length > 0 || config.sourcesFile)
    return { value: config.sources, made: undefined, isOurs: false, file }
  const slack = secretFile(file, hexSecret)
  const others = localSecrets.map(([type, name, make]) => ({
    name: type,
    type,
    secrets: [secretFile(join(config.dataDir, name), make).secret],
    tenant: undefined,
  }))
  return {
    value: [{ name: 'slack', type: 'slack', secrets: [slack.secret], tenant: undefined }, ...others],
    made: slack.isNew ? slack.secret : undefined,
    isOurs: true,
    file,
  }
}

const hexSecret = () => randomBytes(16).toString('hex')

const localSecrets = [
  ['github', 'github-webhook-secret', hexSecret],
  ['stripe', 'stripe-webhook-secret', () => `whsec_${hexSecret()}`],
  ['standard', 'standard-webhook-secret', () => `whsec_${randomBytes(32).toString('base64')}`],
] as const

/** Where a running process of this DATA_DIR can be found by the command line. */
export function rememberUrl(config: Config, url: string): void {
  try {
    mkdirSync(config.dataDir, { recursive: true, mode: 0o700 })
    writeFileSync(join(config.dataDir, 'url'), `${url}\n`, { mode: 0o600 })
  } catch {
    // A convenience only: on a read-only file system the command line needs --url.
  }
}

export function rememberedUrl(config: Config): string | undefined {
  return read(join(config.dataDir, 'url'))
}

/** Reads it, or makes it; of two processes that start at once the first one's is used by both. */
function secretFile(file: string, make: () => string): { secret: string; isNew: boolean } {
  const there = read(file)
  if (there) return { secret: there, isNew: false }
  mkdirSync(join(file, '..'), { recursive: true, mode: 0o700 })
  chmodSync(join(file, '..'), 0o700)
  const secret = make()
  try {
    writeFileSync(file, `${secret}\n`, { mode: 0o600, flag: 'wx' })
    return { secret, isNew: true }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    const other = read(file)
    if (other) return { secret: other, isNew: false }
    // Empty: its maker died between making and writing.
    writeFileSync(file, `${secret}\n`, { mode: 0o600 })
    return { secret, isNew: true }
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim() || undefined
  } catch {
    return undefined
  }
}
