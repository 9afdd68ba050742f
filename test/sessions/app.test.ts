import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue, defineWorker } from '../../src/index.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { embeddedPids, noPostgres, startPostgres, type TestPostgres } from '../harness/databases.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* Sessions in the whole process: what its readiness says of the database, and what a job comes to. */

const payload = z.object({ thread: z.string(), text: z.string() })
const chat = defineQueue({ name: 'chat', payload, retry: { attempts: 50, base: '200ms', max: '200ms' } })
const worker = defineWorker(chat, async ({ payload: { thread, text } }, { sessions }) => {
  const { messages } = await sessions.update(thread, () => ({ messages: [{ role: 'user', text }] }))
  return messages.length
})

let redis: TestRedis
let app: TestApp
const lines: string[] = []
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis?.stop())
afterEach(async () => {
  await app?.close()
  lines.length = 0
})

async function start(env: Record<string, string>): Promise<void> {
  app = await startTestApp(redis.url, {
    env,
    definitions: { queues: [chat, quarantine], workers: [worker], ignored: [] },
    log: pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) }),
  })
}

async function database(): Promise<{ status: number; check: { state: string; detail: string } | undefined }> {
  const response = await fetch(`${app.url}/readyz`)
  const { checks } = (await response.json()) as { checks: Record<string, { state: string; detail: string }> }
  return { status: response.status, check: checks.database }
}

it('starts no embedded database before a session is used', async () => {
  await start({})
  expect(await database()).toEqual({
    status: 200,
    check: { state: 'ok', detail: 'the embedded database, not used yet' },
  })
  expect(embeddedPids(app.dataDir)).toEqual([])
})

describe.skipIf(noPostgres)(`with a PostgreSQL${noPostgres ? ` (${noPostgres})` : ''}`, () => {
  let postgres: TestPostgres
  beforeAll(async () => {
    postgres = await startPostgres()
  }, 60_000)
  afterAll(() => postgres?.stop())

  it('that is away, jobs are tried again and done when it is back, and nothing shows its password', {
    timeout: 60_000,
  }, async () => {
    await postgres.kill()
    await start({ DATABASE_URL: postgres.url.replace('tests@', 'tests:hunter2@') })
    const warned = await until(async () => {
      const { status, check } = await database()
      return check?.state === 'warn' && { status, check }
    }, 'readiness warns')
    expect(warned).toMatchObject({ status: 200, check: { detail: expect.stringContaining('ECONNREFUSED') } })
    expect(lines.filter((line) => line.includes('DATABASE_URL: sessions cannot be kept'))).toHaveLength(1)

    const { id } = await app.enqueue(chat, { thread: 't', text: 'one' })
    await until(() => lines.some((line) => line.includes('database-unavailable')), 'an attempt failed')
    await postgres.restart()
    expect(await app.waitFor(chat, id, '20s')).toBe(1)
    expect(await database()).toMatchObject({ check: { state: 'ok' } })
    expect(lines.join('')).not.toContain('hunter2')
    expect(embeddedPids(app.dataDir)).toEqual([])
  })
})

it('needs no database where no handler asks for a session', async () => {
  await start({ ROLES: 'http', DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' })
  expect(await database()).toEqual({ status: 200, check: undefined })
})
