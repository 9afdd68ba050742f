import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { built } from '../harness/process.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/* Three real processes, all schedulers and workers, of which one after the other is killed and started anew. */

const kills = 5
/** A run in hand of a process that is killed comes back when its lock has run out; and so, with bad luck, does the planning. */
const patienceMs = 60_000

let redis: TestRedis
let folder: string
const living = new Set<ChildProcess>()
beforeAll(async () => {
  redis = await startRedis()
  folder = mkdtempSync(join(tmpdir(), 'millrace-schedule-'))
})
afterAll(async () => {
  for (const child of living) child.kill('SIGKILL')
  await Promise.all([...living].map((child) => once(child, 'exit')))
  await redis.stop()
  rmSync(folder, { recursive: true, force: true })
})

it('fires each slot once, and goes on', { timeout: 180_000 }, async () => {
  const env = JSON.stringify({ REDIS_URL: redis.url, KEY_PREFIX: freshId('p'), DATA_DIR: folder })
  const started: string[] = []
  const ended = new Set<string>()
  /** What processes had in hand when they were killed, as far as the store knew. */
  const cutOff = new Set<string>()
  const start = async () => {
    const child = spawn(process.execPath, [built('../test/crash/schedule-child.js'), env], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    living.add(child)
    const inHand = new Set<string>()
    let rest = ''
    let isReady = false
    child.stdout.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const [mark, id = ''] = line.split(' ')
        if (mark === 'ready') isReady = true
        else if (mark === '+') {
          started.push(id)
          inHand.add(id)
        } else {
          ended.add(id)
          // The store is told a moment later.
          setTimeout(() => inHand.delete(id), 500)
        }
      }
    })
    await until(() => isReady, 'a process is ready')
    return async () => {
      child.kill('SIGKILL')
      await once(child, 'close')
      living.delete(child)
      for (const id of inHand) cutOff.add(id)
    }
  }
  const killers = await Promise.all([1, 2, 3].map(start))
  for (let i = 0; i < kills; i++) {
    const before = started.length
    await until(() => started.length > before, 'a run was started', patienceMs)
    await killers.shift()?.()
    killers.push(await start())
  }
  for (const id of ['every', 'cron']) {
    const count = () => started.filter((run) => run.includes(`.${id}:`)).length
    const before = count()
    await until(() => count() >= before + 3, `${id} goes on`, patienceMs)
  }
  await until(() => started.every((id) => ended.has(id)), 'what was in hand has come back', patienceMs)
  const twice = started.filter((id, i) => started.indexOf(id) < i)
  expect(new Set(twice).size).toBe(twice.length)
  expect(twice.filter((id) => !cutOff.has(id))).toEqual([])
  expect(ended.size).toBe(new Set(started).size)
  const slots = started.map((id) => Number(id.split(':')[2]))
  expect(slots.filter((slot) => slot % 1_000 !== 0)).toEqual([])
})
