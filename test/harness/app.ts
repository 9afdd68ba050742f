import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type App, startApp } from '../../src/app.ts'
import { loadConfig } from '../../src/config.ts'
import { type Definitions, loadDefinitions } from '../../src/load.ts'
import { createLogger, type Logger } from '../../src/observe/log.ts'
import { built } from './process.ts'
import { freshId, slackSecret } from './slack.ts'

export const adminKey = 'admin-key-of-the-tests'
export const viewerKey = 'viewer-key-of-the-tests'
export const operatorKey = 'operator-key-of-the-tests'
export const tenantKey = 'tenant-key-of-the-tests'

export const apiKeys = JSON.stringify([
  { key: adminKey, name: 'ada', role: 'admin' },
  { key: viewerKey, name: 'vic', role: 'viewer' },
  { key: operatorKey, name: 'olga', role: 'operator' },
  { key: tenantKey, name: 'tom', role: 'admin', tenant: 'T-ONE' },
])

export type TestApp = App & {
  readonly url: string
  readonly prefix: string
  readonly dataDir: string
  close(): Promise<void>
}

/** The whole App in this process, on a store of the test's, with a key prefix and a port of its own. */
export async function startTestApp(
  redisUrl: string,
  {
    env = {},
    definitions,
    now,
    log,
    isolateEntry,
    limitPatienceMs = 900,
  }: {
    env?: Record<string, string>
    definitions?: Definitions
    now?: () => number
    log?: Logger
    isolateEntry?: string
    /** By default so long that a busy machine does not look like a store that is away. */
    limitPatienceMs?: number | undefined
  } = {},
): Promise<TestApp> {
  const dataDir = mkdtempSync(join(tmpdir(), 'millrace-data-'))
  const prefix = freshId('p')
  const config = loadConfig({
    PORT: '0',
    DATA_DIR: dataDir,
    REDIS_URL: redisUrl,
    KEY_PREFIX: prefix,
    SLACK_SIGNING_SECRET: slackSecret,
    API_KEYS: apiKeys,
    // Tests ask many times a second.
    API_RATE: 'off',
    LOG_LEVEL: process.env.TEST_LOG ?? 'silent',
    ...env,
  })
  const app = await startApp({
    config,
    definitions: definitions ?? (await loadDefinitions()),
    log: log ?? createLogger(config),
    isolateEntry,
    databaseEntry: built('sessions/embedded-process.js'),
    limitPatienceMs,
    ...(now ? { now } : {}),
  })
  return {
    ...app,
    url: app.url ?? '',
    prefix,
    dataDir,
    close: async () => {
      await app.stop(Date.now() + 5_000)
      rmSync(dataDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
    },
  }
}
