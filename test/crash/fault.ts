import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { type MillraceProcess, startMillrace } from '../harness/process.ts'
import { freshId, mention, post, slackSecret } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/*
 * One fault under load, on real processes and the managed stores, and the account afterwards. An acknowledged event is
 * found when its deduplication key names a job, and that job has run (by the workers' own log) or is still in Redis.
 */

export type Target = 'server' | 'worker' | 'redis' | 'keeper' | 'everything'

export type Account = {
  readonly target: Target
  readonly acknowledged: number
  readonly found: number
  readonly lost: readonly string[]
  /** Jobs that came to their end more than once. */
  readonly ranTwice: number
  /** Of these, jobs that a killed worker had in hand: they must run again. */
  readonly ranTwiceInHand: number
  readonly refused: number
  /** From the fault to the first acknowledgement after it. */
  readonly recoveredMs: number
}

const lanes = 30

export async function runFault(
  target: Target,
  { beforeMs = 1_000, afterMs = 2_000, say = (_line: string) => {} } = {},
): Promise<Account> {
  const dataDir = mkdtempSync(join(tmpdir(), 'millrace-crash-'))
  const env = { DATA_DIR: dataDir, SLACK_SIGNING_SECRET: slackSecret, SHUTDOWN_GRACE: '5s' }
  const outputs: (() => string)[] = []
  const start = async (roles: string, more: Record<string, string> = {}) => {
    const started = await startMillrace({ ...env, ...more }, ['--roles', roles])
    outputs.push(started.output)
    return started
  }
  let http = await start('http,scheduler')
  const url = http.url
  const port = new URL(url).port
  let worker = await start('worker')
  const redisPath = join(dataDir, 'redis', 'queue.sock')

  // — load
  const acknowledged = new Set<string>()
  let refused = 0
  let faultAt = Number.POSITIVE_INFINITY
  let recoveredAt = 0
  let isOver = false
  const lane = async () => {
    while (!isOver) {
      const id = freshId()
      const body = mention(id)
      // As Slack does it: the same event again until it is taken.
      for (let tries = 0; tries < 20 && !acknowledged.has(id) && !isOver; tries += 1) {
        const sentAt = Date.now()
        const status = await post(url, body).then(
          (response) => response.status,
          () => 0,
        )
        if (status === 200) {
          acknowledged.add(id)
          if (sentAt > faultAt) recoveredAt ||= Date.now()
        } else {
          refused += 1
          await new Promise((resolve) => setTimeout(resolve, 50))
        }
      }
    }
  }
  const load = Promise.all(Array.from({ length: lanes }, lane))
  await new Promise((resolve) => setTimeout(resolve, beforeMs))

  // — fault
  say(`${target}: kill -9 after ${acknowledged.size} acknowledged`)
  const inHandBefore = target === 'worker' || target === 'everything'
  if (target === 'redis') process.kill(storePid(dataDir, 'queue'), 'SIGKILL')
  if (target === 'keeper') process.kill(keeperPid(dataDir), 'SIGKILL')
  if (target === 'everything') process.kill(storePid(dataDir, 'queue'), 'SIGKILL')
  if (target === 'server' || target === 'everything') await http.kill('SIGKILL')
  if (target === 'worker' || target === 'everything') await worker.kill('SIGKILL')
  // Only what was sent after the kill says anything about recovery.
  faultAt = Date.now()
  if (target === 'server' || target === 'everything') http = await start('http,scheduler', { PORT: port })
  if (target === 'worker' || target === 'everything') worker = await start('worker')
  await new Promise((resolve) => setTimeout(resolve, afterMs))
  await until(() => recoveredAt > 0, 'an event is acknowledged after the fault')
  isOver = true
  await load

  // — account
  const redis = new Redis({ path: redisPath, maxRetriesPerRequest: null })
  redis.on('error', () => {})
  try {
    say(`${target}: ${acknowledged.size} acknowledged, waiting for the workers`)
    await until(
      async () =>
        (await redis.llen('millrace:slack-events:wait')) + (await redis.llen('millrace:slack-events:active')) === 0,
      'every job has run',
      90_000,
    )
    const ids = [...acknowledged]
    const keys = await redis.mget(ids.map((id) => `millrace:slack-events:de:slack-${id}`))
    // Only a process that has ended has said everything: its last lines may still be in the pipe.
    await stop(worker)
    await stop(http)
    const ran = runs(outputs.map((output) => output()))
    const lost = ids.filter((_, i) => !keys[i] || !ran.has(keys[i]))
    const twice = [...ran].filter(([, times]) => times > 1).map(([id]) => id)
    return {
      target,
      acknowledged: ids.length,
      found: ids.length - lost.length,
      lost,
      ranTwice: twice.length,
      ranTwiceInHand: inHandBefore ? twice.length : 0,
      refused,
      recoveredMs: recoveredAt - faultAt,
    }
  } finally {
    redis.disconnect()
    await stop(worker)
    await stop(http)
    rmSync(dataDir, { recursive: true, force: true })
  }
}

/** Job id → how often a worker wrote that it came to its end. */
function runs(outputs: readonly string[]): Map<string, number> {
  const ran = new Map<string, number>()
  for (const output of outputs)
    for (const [, id] of output.matchAll(/"queue":"slack-events","job":"([^"]+)"[^\n]*"outcome":"done"/g))
      if (id) ran.set(id, (ran.get(id) ?? 0) + 1)
  return ran
}

async function stop(process: MillraceProcess): Promise<void> {
  await process.kill('SIGTERM')
}

export function storePid(dataDir: string, store: 'queue' | 'cache'): number {
  return Number(readFileSync(join(dataDir, 'redis', `${store}.pid`), 'utf8'))
}

/** The keeper writes its pid into its log when it starts. */
export function keeperPid(dataDir: string): number {
  const starts = [...readFileSync(join(dataDir, 'redis', 'keeper.log'), 'utf8').matchAll(/keeper (\d+) started/g)]
  return Number(starts.at(-1)?.[1])
}
