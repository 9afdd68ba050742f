import { statSync } from 'node:fs'
import { readdir, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config, StoreAddress } from '../config.ts'
import { describeStore } from '../config.ts'
import { MillraceError, messageOf } from '../errors.ts'
import type { Check } from '../observe/check.ts'
import { checkStore, durabilityOf, type StoreFacts } from '../redis/store.ts'

const mb = 1024 ** 2
/** Less free disk than this and an append-only file may stop the store before anybody looks. */
const lowDisk = 500 * mb
const askMs = 3_000

/**
 * Looks at everything that a start would need, and says of each thing what is wrong and what to do. Starts nothing but
 * the managed stores, which `addressOf` does.
 */
export async function doctor(
  config: Config,
  {
    addressOf,
    url,
    oldestNode,
    misspelt,
  }: {
    addressOf: (role: 'queue' | 'cache') => StoreAddress
    url: string | undefined
    oldestNode: readonly [number, number]
    /** A line for each variable that is probably a setting misspelt. */
    misspelt: readonly string[]
  },
): Promise<Check[]> {
  const checks: Check[] = [
    nodeCheck(oldestNode),
    ...misspelt.map(settingCheck),
    dataDirCheck(config.dataDir),
    await diskCheck(config.dataDir),
  ]
  for (const role of ['queue', 'cache'] as const) checks.push(...(await storeChecks(config, role, addressOf(role))))
  checks.push(keysCheck(config), sourcesCheck(config), await spoolCheck(config), await serverCheck(url))
  return checks
}

function settingCheck(detail: string): Check {
  return { name: 'settings', state: 'warn', detail }
}

function nodeCheck([major, minor]: readonly [number, number]): Check {
  const [ourMajor = 0, ourMinor = 0] = process.versions.node.split('.').map(Number)
  const isFit = ourMajor > major || (ourMajor === major && ourMinor >= minor)
  return {
    name: 'node',
    state: isFit ? 'ok' : 'fail',
    detail: isFit ? process.version : `${process.version}; install ${major}.${minor} or newer`,
  }
}

function dataDirCheck(dataDir: string): Check {
  try {
    const mode = statSync(dataDir).mode & 0o777
    return mode & 0o077
      ? {
          name: 'data dir',
          state: 'warn',
          detail: `${dataDir} can be read by others (mode ${mode.toString(8)}); chmod 700 ${dataDir}`,
        }
      : { name: 'data dir', state: 'ok', detail: dataDir }
  } catch (error) {
    return { name: 'data dir', state: 'warn', detail: `${messageOf(error)}; the first start makes it` }
  }
}

async function diskCheck(dataDir: string): Promise<Check> {
  try {
    const { bavail, bsize } = await statfs(dataDir)
    const free = bavail * bsize
    const detail = `${Math.round(free / mb)} MB free`
    return free < lowDisk
      ? { name: 'disk', state: 'fail', detail: `${detail}; make room: a full disk stops the store` }
      : { name: 'disk', state: 'ok', detail }
  } catch (error) {
    return { name: 'disk', state: 'warn', detail: messageOf(error) }
  }
}

async function storeChecks(config: Config, role: 'queue' | 'cache', address: StoreAddress): Promise<Check[]> {
  let facts: StoreFacts
  try {
    facts = await checkStore(address, role, {
      durability: config.durability,
      connectTimeoutMs: Math.min(askMs, config.connectTimeoutMs),
    })
  } catch (error) {
    const todo = error instanceof MillraceError ? ` ${error.todo}` : ''
    return [{ name: `${role} store`, state: 'fail', detail: `${messageOf(error)}.${todo}` }]
  }
  const used = facts.maxMemory > 0 ? facts.usedMemory / facts.maxMemory : 0
  const memory =
    facts.maxMemory > 0
      ? `${Math.round(used * 100)} % of ${Math.round(facts.maxMemory / mb)} MB`
      : `${Math.round(facts.usedMemory / mb)} MB, no maxmemory set`
  const checks: Check[] = [
    {
      name: `${role} store`,
      state: 'ok',
      detail: `${describeStore(address)}, Redis ${facts.version}, ${facts.policy}`,
    },
  ]
  checks.push({
    name: `${role} memory`,
    state: used > config.memoryWatermark && role === 'queue' ? 'fail' : 'ok',
    detail: memory,
  })
  if (role === 'queue') {
    const { kept, detail } = durabilityOf(facts, config.durability)
    checks.push({ name: 'durability', state: kept ? 'ok' : 'warn', detail })
  }
  return checks
}

function keysCheck({ apiKeys, dataDir }: Config): Check {
  return apiKeys.length > 0
    ? { name: 'api keys', state: 'ok', detail: `${apiKeys.length} configured` }
    : { name: 'api keys', state: 'ok', detail: `one admin key, in ${dataDir}/admin-key` }
}

function sourcesCheck({ sources, dataDir }: Config): Check {
  if (sources.length === 0)
    return {
      name: 'sources',
      state: 'warn',
      detail: `only the local one in ${dataDir}; set SLACK_SIGNING_SECRET for Slack itself`,
    }
  return {
    name: 'sources',
    state: 'ok',
    detail: sources
      .map(
        (source) =>
          `${source.name} (${source.type}, ${source.secrets.length} ${source.secrets.length === 1 ? 'secret' : 'secrets'})`,
      )
      .join(', '),
  }
}

/** By the files alone: which process they belong to, and whether it drains them, `/readyz` tells. */
async function spoolCheck({ dataDir, keyPrefix, spoolLimit }: Config): Promise<Check> {
  const name = 'spool'
  const dir = join(dataDir, 'spool', `of-${keyPrefix}`)
  const files = await readdir(dir, { recursive: true, withFileTypes: true }).catch(() => [])
  let [waiting, damaged] = [0, 0]
  for (const file of files) {
    if (!file.isFile()) continue
    const path = join(file.parentPath, file.name)
    const { size } = await stat(path).catch(() => ({ size: 0 }))
    if (path.startsWith(join(dir, 'damaged'))) damaged += size
    else waiting += size
  }
  const size = (bytes: number) => `${Math.ceil(bytes / 1024)} KB`
  if (damaged > 0)
    return {
      name,
      state: 'warn',
      detail: `${size(damaged)} of records that could not be read or stored in ${join(dir, 'damaged')}; the log says why`,
    }
  if (waiting > 0) return { name, state: 'warn', detail: `${size(waiting)} wait in ${dir} for the queue store` }
  return { name, state: 'ok', detail: spoolLimit > 0 ? `empty, of ${Math.round(spoolLimit / mb)} MB` : 'off' }
}

async function serverCheck(url: string | undefined): Promise<Check> {
  if (url === undefined)
    return { name: 'server', state: 'warn', detail: 'none was started from this DATA_DIR; npm start' }
  try {
    const response = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(askMs) })
    const { checks = {} } = (await response.json()) as { checks?: Record<string, { state: string; detail: string }> }
    const failed = Object.entries(checks).filter(([, check]) => check.state === 'fail')
    const detail =
      failed.length > 0 ? failed.map(([name, check]) => `${name}: ${check.detail}`).join('; ') : `ready at ${url}`
    return { name: 'server', state: response.ok ? 'ok' : 'fail', detail }
  } catch (error) {
    return { name: 'server', state: 'warn', detail: `${url} does not answer (${messageOf(error)}); npm start` }
  }
}
