import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type MillraceProcess, startMillrace } from '../harness/process.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId, mention, post, signedHeaders } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/* Everything that a real process writes, at its most talkative, after it has been given secrets in every place. */

const secret = 'signing-secret-LEAK1'
const adminKey = 'admin-key-of-somebody-LEAK2'
const botToken = 'xoxb-LEAK3-LEAK3'

let redis: TestRedis
let process_: MillraceProcess
let folder: string
let url: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'millrace-log-'))
  redis = await startRedis({ requirepass: 'redis-password-LEAK4' })
  process_ = await startMillrace({
    REDIS_URL: redis.url,
    REDIS_PASSWORD: 'redis-password-LEAK4',
    DATA_DIR: folder,
    SLACK_SIGNING_SECRET: secret,
    API_KEYS: JSON.stringify([{ key: adminKey, name: 'ada', role: 'admin' }]),
    SLACK_BOT_TOKEN: botToken,
    // Nobody listens there: the attempt fails, and is logged with its error.
    SLACK_API_URL: 'http://127.0.0.1:9/LEAK5',
    SPOOL_LIMIT: '0',
    LOG_LEVEL: 'trace',
  })
  // From the file that the command line reads as well: it is there before the process says that it is ready.
  url = readFileSync(join(folder, 'url'), 'utf8').trim()
})
afterAll(async () => {
  // How it stops is not what is looked at here, and a process that does not must not keep the store from being stopped.
  await process_?.kill('SIGKILL')
  await redis?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const signIn = (key: string) =>
  fetch(`${url}/dashboard/sign-in`, {
    method: 'POST',
    redirect: 'manual',
    headers: { origin: url },
    body: new URLSearchParams({ key }),
  })

it('writes no secret and nothing of a payload to its log', async () => {
  const bearer = { authorization: `Bearer ${adminKey}` }
  const failing = mention(freshId(), {
    token: 'LEAK-verification-token',
    event: { type: 'app_mention', text: 'LEAK-text', user: 'ULEAK', channel: 'CLEAK', ts: '1.2', blocks: ['LEAK'] },
  })
  const form = new URLSearchParams({ command: '/x', token: 'LEAK', text: 'LEAK', response_url: 'LEAK' }).toString()
  const statuses = [
    await post(url, failing, { secret, headers: { cookie: 'LEAK', 'x-forwarded-for': 'LEAK' } }),
    await post(url, mention(freshId(), { team_id: { LEAK: 'LEAK' } }), { secret }),
    await post(url, 'LEAK, not JSON', { secret }),
    await post(url, form, { secret, type: 'application/x-www-form-urlencoded' }),
    await post(url, mention(), { secret: 'LEAK-guessed' }),
    await post(url, mention(), { secret, headers: { 'content-encoding': 'LEAK' } }),
    await fetch(`${url}/hooks/LEAK?token=LEAK`, { method: 'POST', body: 'LEAK', headers: signedHeaders('LEAK') }),
    await fetch(`${url}/api/queues/slack-events/jobs?token=LEAK`, { headers: { authorization: 'Bearer LEAK' } }),
    await fetch(`${url}/api/queues/slack-events/jobs`, { method: 'POST', body: '{"type":["LEAK"]}', headers: bearer }),
    await fetch(`${url}/api/queues/slack-events/jobs`, { method: 'POST', body: '{"LEAK', headers: bearer }),
    await signIn('LEAK-wrong-key'),
    await signIn(adminKey),
  ].map(({ status }) => status)
  expect(statuses).toEqual([200, 200, 200, 200, 401, 415, 404, 401, 422, 400, 401, 303])
  // The store goes away and comes back: errors of connections carry addresses, and could carry passwords.
  await redis.kill()
  expect((await post(url, mention(), { secret })).status).toBe(503)
  await until(() => process_.output().includes('store connection'), 'the lost connection is logged')
  await redis.restart()
  await until(async () => (await post(url, mention(), { secret })).ok, 'it stores events again')

  await until(
    () => ['attempt failed', 'hook refused'].every((what) => process_.output().includes(what)),
    'the failed attempt and the refusals are logged',
  )
  const lines = process_.output().split('\n')
  expect(lines.filter((line) => line.includes('LEAK'))).toEqual([])
})
