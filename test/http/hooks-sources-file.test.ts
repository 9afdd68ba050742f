import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue } from '../../src/index.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { jobsOfEvent } from '../harness/jobs.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { githubHeaders, sendTo } from '../harness/signed.ts'
import { freshId, mention, post } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/* Secrets are rotated, sources come and go, and mistakes are made, while the process runs. */

const events = defineQueue({ name: 'all-events', payload: z.looseObject({}), on: ['github:*', 'slack:*'] })

let folder: string
let path: string
let redis: TestRedis
let app: TestApp
const lines: string[] = []

type Entry = { secrets: string[]; tenant?: string; limit?: string }

/** As an orchestrator does it: the file is replaced by another. */
function put(sources: Record<string, Entry> | string): void {
  const typed = (entry: Entry) => ({ type: 'github', ...entry })
  const text =
    typeof sources === 'string'
      ? sources
      : JSON.stringify(Object.fromEntries(Object.entries(sources).map(([name, entry]) => [name, typed(entry)])))
  writeFileSync(`${path}.new`, text)
  renameSync(`${path}.new`, path)
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-sources-'))
  path = join(folder, 'sources.json')
  put({ github: { secrets: ['SECRET-one'] } })
  redis = await startRedis()
  app = await startTestApp(redis.url, {
    env: { SOURCES_FILE: path },
    definitions: { queues: [events, quarantine], workers: [], ignored: [] },
    log: pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) }),
  })
})
afterAll(async () => {
  await app?.close()
  await redis?.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function push(secret: string, source = 'github', guid = freshId('g')): Promise<number> {
  const body = '{"organization":{"login":"octo-org"}}'
  return (await sendTo(app.url, source, body, githubHeaders(body, { secret, guid }))).status
}

it('follows the file through a rotation, a mistake and a new source, without a restart', async () => {
  expect([await push('SECRET-one'), await push('SECRET-two')]).toEqual([202, 401])

  // Both are live.
  put({ github: { secrets: ['SECRET-one', 'SECRET-two'] } })
  await until(async () => (await push('SECRET-two')) === 202, 'the second secret is live')
  expect(await push('SECRET-one')).toBe(202)

  // The first is removed.
  put({ github: { secrets: ['SECRET-two'] } })
  await until(async () => (await push('SECRET-one')) === 401, 'the first secret is dead')
  expect(await push('SECRET-two')).toBe(202)

  // A mistake: what was in force goes on, and somebody is told, but not the secret.
  put('{"github":{"type":"github","secrets":["SECRET-three"],}}')
  const told = await until(() => lines.find((line) => line.includes('not in force')), 'the mistake is logged')
  expect(JSON.parse(told)).toMatchObject({ level: 50, msg: expect.stringContaining('must be JSON') })
  expect([await push('SECRET-two'), await push('SECRET-three')]).toEqual([202, 401])

  // Mended, with another source, which has its own limit and tenant.
  put({ github: { secrets: ['SECRET-three'] }, more: { secrets: ['SECRET-four'], tenant: 'ours', limit: '1kb' } })
  await until(async () => (await push('SECRET-three')) === 202, 'it is mended')
  const guid = freshId('g')
  expect(await push('SECRET-four', 'more', guid)).toBe(202)
  expect(await jobsOfEvent(app, 'all-events', guid)).toMatchObject([{ meta: { source: 'more', tenant: 'ours' } }])
  const large = `{"x":"${'x'.repeat(2_000)}"}`
  expect((await sendTo(app.url, 'more', large, githubHeaders(large, { secret: 'SECRET-four' }))).status).toBe(413)

  // And gone again.
  put({ github: { secrets: ['SECRET-three'] } })
  await until(async () => (await push('SECRET-four', 'more')) === 404, 'the source is gone')

  // What the environment says was there all the time.
  expect((await post(app.url, mention())).status).toBe(200)
  expect(lines.filter((line) => line.includes('SECRET-'))).toEqual([])
  expect(lines.filter((line) => line.includes('not in force'))).toHaveLength(1)
})
