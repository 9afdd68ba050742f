import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { describeJob } from '../../src/jobs/inspect.ts'
import { loadDefinitions } from '../../src/load.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

/* The two files of README's "Your own queue", written to disk as a reader would and run as they are. */

const root = fileURLToPath(new URL('../../', import.meta.url))
let folder: string
let redis: TestRedis
let app: TestApp

beforeAll(async () => {
  // Inside the checkout, so that the examples find zod; src is a link, so that they import the code that runs.
  folder = mkdtempSync(join(root, 'test/examples/.readme-'))
  symlinkSync(join(root, 'src'), join(folder, 'src'))
  const readme = readFileSync(join(root, 'README.md'), 'utf8')
  for (const [, file, code] of readme.matchAll(/```ts\n\/\/ (\S+)\n([\s\S]*?)```/g)) {
    const path = join(folder, file ?? '')
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, code ?? '')
  }
  writeFileSync(join(folder, 'queues/quarantine.ts'), "export { default } from '../../../../queues/quarantine.ts'\n")
  redis = await startRedis()
  const definitions = await loadDefinitions({ queues: join(folder, 'queues'), workers: join(folder, 'workers') })
  app = await startTestApp(redis.url, { definitions })
})
afterAll(async () => {
  await app?.close()
  await redis?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const api = (body: unknown) =>
  fetch(`${app.url}/api/queues/greet/jobs`, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { Authorization: 'Bearer admin-key-of-the-tests' },
  })

async function outcome(id: string, state: string) {
  const queue = app.bull.get('greet')
  if (!queue) throw new Error('greet was not loaded')
  return until(async () => {
    const job = await describeJob(queue, id)
    return job.state === state ? job : undefined
  }, `greet is ${state}`)
}

it('greets', async () => {
  const response = await api({ name: 'Ada', arrivedAt: '2026-01-01T09:00:00Z' })
  expect(response.status).toBe(201)
  const { id } = (await response.json()) as { id: string }
  expect(await outcome(id, 'completed')).toMatchObject({ result: { greeted: 'Ada' } })
})

it('drops and defers as its comments say', async () => {
  const nobody = (await (await api({ name: 'nobody', arrivedAt: '2026-01-01T09:00:00Z' })).json()) as { id: string }
  expect(await outcome(nobody.id, 'failed')).toMatchObject({ reason: 'there is nobody to greet' })
  const later = (await (await api({ name: 'Ada', arrivedAt: '2999-01-01T09:00:00Z' })).json()) as { id: string }
  expect(await outcome(later.id, 'delayed')).toMatchObject({ attemptsMade: 0 })
})

it('refuses what does not fit, by field', async () => {
  const response = await api({ name: '', arrivedAt: 'yesterday' })
  expect(response.status).toBe(422)
  expect(await response.json()).toMatchObject({
    code: 'invalid-payload',
    errors: [{ path: 'name' }, { path: 'arrivedAt' }],
  })
})
