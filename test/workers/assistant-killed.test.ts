import { afterAll, beforeAll, expect, it } from 'vitest'
import { mentionIn, type Rig, startRig } from '../harness/assistant.ts'
import type { MillraceProcess } from '../harness/process.ts'
import { until } from '../harness/until.ts'

/* A worker's process is killed right after a provider has done what it was asked, and before anybody could note that. */

const workerRole = ['--roles', 'worker,scheduler']
let rig: Rig
let worker: MillraceProcess
beforeAll(async () => {
  rig = await startRig({ TOOL_TIMEOUT: '30s' }, ['--roles', 'http'])
  worker = await rig.start(workerRole)
})
afterAll(() => rig?.stop())

it('says nothing twice, and makes nothing twice', { timeout: 120_000 }, async () => {
  const { outside } = rig
  outside.behave('slack', { path: '/chat.postMessage', afterwards: true, hangs: true })
  outside.behave('linear', { saying: 'issueCreate', afterwards: true, hangs: true, times: 1 })
  const made = () => outside.issues().filter((title) => title === 'No light')
  const said = await mentionIn(rig, 'hello')
  const asked = await mentionIn(rig, 'create issue No light')
  await until(() => outside.posted.length === 1 && made().length === 1, 'both are done, and nobody here knows')

  await worker.kill('SIGKILL')
  outside.behave('slack')
  outside.release()
  worker = await rig.start(workerRole)
  // The locks of the dead one have to run out first.
  const isDone = () => [...worker.output().matchAll(/"queue":"slack-events"[^\n]*"outcome":"done"/g)].length === 2
  await until(isDone, 'the other worker has done both', 90_000)
  expect(said.replies()).toEqual(['I heard you: hello'])
  expect(asked.replies()).toEqual([expect.stringMatching(/^Created the issue <.*No light>\.$/)])
  expect(made()).toHaveLength(1)
  expect(outside.callsOf('slack', '/conversations.replies')).toHaveLength(1)
})
