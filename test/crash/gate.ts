import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import quarantine from '../../queues/quarantine.ts'
import { startTestApp } from '../harness/app.ts'
import { built } from '../harness/process.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId } from '../harness/slack.ts'
import { until } from '../harness/until.ts'
import { type GateQueue, gateQueues } from './gate-queues.ts'

/** One stretch of time in which a process had a job in hand. */
export type Span = {
  readonly key: string
  readonly n: number
  readonly from: number
  readonly to: number
  readonly end: 'done' | 'failed' | 'killed'
  readonly pid: number | undefined
}

/** How long a store is not itself. */
const stumbleMs = 2_000

const stumbles = {
  hangs: async (redis: TestRedis) => {
    redis.signal('SIGSTOP')
    await setTimeout(stumbleMs)
    redis.signal('SIGCONT')
  },
  pauses: async ({ client }: TestRedis) => {
    await client.call('CLIENT', 'PAUSE', stumbleMs, 'ALL')
    await client.ping()
  },
  'is full': async ({ client }: TestRedis) => {
    await client.config('SET', 'maxmemory', '1mb')
    await setTimeout(stumbleMs)
    await client.config('SET', 'maxmemory', '0')
  },
  'lacks its replicas': async ({ client }: TestRedis) => {
    await client.config('SET', 'min-replicas-to-write', '1')
    await setTimeout(stumbleMs)
    await client.config('SET', 'min-replicas-to-write', '0')
  },
  'is killed': async (redis: TestRedis) => {
    await redis.kill()
    await setTimeout(stumbleMs)
    await redis.restart()
  },
}
export type StoreFault = keyof typeof stumbles
export const storeFaults = Object.keys(stumbles) as readonly StoreFault[]

/** Longer than a job of a dead worker needs to come back. */
const patienceMs = 180_000

/** A store, a queue, and worker processes that tell when they have which job in hand. */
async function openStage(kind: GateQueue, failures: number) {
  const redis = await startRedis()
  const prefix = freshId('p')
  const folder = mkdtempSync(join(tmpdir(), 'millrace-gate-'))
  // Ten thousand at once, on a machine that has others to serve.
  const env = { REDIS_URL: redis.url, KEY_PREFIX: prefix, DATA_DIR: folder, ACK_DEADLINE: '30s' }
  const queue = gateQueues[kind]
  const app = await startTestApp(redis.url, {
    definitions: { queues: [queue, quarantine], workers: [], ignored: [] },
    env: { ...env, ROLES: 'scheduler' },
  })
  const spans: Span[] = []
  const living: (() => Promise<void>)[] = []

  return {
    spans,
    enqueue: async (items: readonly { key: string; n: number }[]) => {
      for (let at = 0; at < items.length; at += perCall)
        await Promise.all(items.slice(at, at + perCall).map((item) => app.enqueue(queue, item)))
    },
    /** What happens to a store: it ends when that is over. */
    stumble: (fault: StoreFault) => stumbles[fault](redis),
    /** Kills the worker that has lived longest. */
    kill: async () => living.shift()?.(),
    start: async () => {
      const child = spawn(
        process.execPath,
        [built('../test/crash/gate-child.js'), JSON.stringify({ kind, env, failures })],
        {
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      )
      const inHand = new Map<string, number[]>()
      let rest = ''
      let isReady = false
      child.stdout.on('data', (chunk: Buffer) => {
        const lines = (rest + chunk).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) {
          const [mark, key = '', n = '', at = ''] = line.split(' ')
          const job = `${key} ${n}`
          if (mark === 'ready') isReady = true
          else if (mark === '+') inHand.set(job, [...(inHand.get(job) ?? []), Number(at)])
          else {
            // One job twice in one process would be a fault, and is to be seen as one.
            const [from = Number.NaN, ...others] = inHand.get(job) ?? []
            spans.push({
              key,
              n: Number(n),
              from,
              to: Number(at),
              end: mark === '-' ? 'done' : 'failed',
              pid: child.pid,
            })
            if (others.length > 0) inHand.set(job, others)
            else inHand.delete(job)
          }
        }
      })
      const closed = once(child, 'close')
      living.push(async () => {
        const to = now()
        child.kill('SIGKILL')
        await closed
        for (const [job, starts] of inHand) {
          const [key = '', n] = job.split(' ')
          for (const from of starts) spans.push({ key, n: Number(n), from, to, end: 'killed', pid: child.pid })
        }
      })
      await until(() => isReady, 'the worker is ready')
    },
    end: async () => {
      await Promise.all(living.map((kill) => kill()))
      await app.close()
      await redis.stop()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const perCall = 1_000
/** Milliseconds of the clock that all processes share. */
const now = () => performance.timeOrigin + performance.now()

/**
 * Stores jobs, works them off with several real processes of which some are killed, and tells who had which job in hand and
 * when. A job of a killed process counts as in hand until the kill.
 */
export async function proveGate({
  kind,
  keys,
  each,
  kills,
  failures,
  workers = 3,
  faults = [],
}: {
  kind: GateQueue
  keys: number
  each: number
  kills: number
  failures: number
  workers?: number
  /** What the store is made to do meanwhile, one after the other. */
  faults?: readonly StoreFault[]
}): Promise<readonly Span[]> {
  const stage = await openStage(kind, failures)
  const { spans } = stage
  try {
    const all = Array.from({ length: each }, (_, n) =>
      Array.from({ length: keys }, (_, k) => ({ key: `k${k}`, n })),
    ).flat()
    await stage.enqueue(all)
    for (let i = 0; i < workers; i++) await stage.start()
    for (let kill = 1; kill <= kills; kill++) {
      await until(() => distinct(spans) >= (all.length * kill) / (kills + 1), 'it goes on', patienceMs)
      await stage.kill()
      await stage.start()
    }
    const before = distinct(spans)
    for (const [i, fault] of faults.entries()) {
      const share = before + ((all.length - before) * (i + 1)) / (faults.length + 1)
      await until(() => distinct(spans) >= share, `it goes on until the store ${fault}`, patienceMs)
      await stage.stumble(fault)
    }
    await until(() => distinct(spans) === all.length, 'all are done', patienceMs)
    return spans
  } finally {
    await stage.end()
  }
}

/** Milliseconds that each of many quiet tenants waits for its one job, while another one has flooded the queue. */
export async function measureFlood(flood: number, quiet: number): Promise<readonly number[]> {
  const stage = await openStage('tenants', 0)
  try {
    await stage.enqueue(Array.from({ length: flood }, (_, n) => ({ key: 'flood', n })))
    await stage.start()
    await until(() => stage.spans.length > 0, 'the flood is worked on')
    const began = now()
    await stage.enqueue(Array.from({ length: quiet }, (_, n) => ({ key: `quiet${n}`, n: 0 })))
    const ofQuiet = () => stage.spans.filter(({ key }) => key.startsWith('quiet'))
    await until(() => ofQuiet().length === quiet, 'the quiet ones are done', patienceMs)
    return ofQuiet().map(({ from }) => from - began)
  } finally {
    await stage.end()
  }
}

function distinct(spans: readonly Span[]): number {
  return new Set(spans.filter(({ end }) => end === 'done').map(({ key, n }) => `${key} ${n}`)).size
}

/** The most jobs that one key had in hand at any moment. */
export function mostAtOnce(spans: readonly Span[]): number {
  let most = 0
  for (const ofKey of byKey(spans)) {
    // What ends when another begins does not overlap it.
    const turns = ofKey.flatMap(({ from, to }) => [[from, 1] as const, [to, -1] as const])
    let now = 0
    for (const [, change] of turns.sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
      now += change
      most = Math.max(most, now)
    }
  }
  return most
}

export function byKey(spans: readonly Span[]): readonly (readonly Span[])[] {
  const keys = new Map<string, Span[]>()
  for (const span of spans) {
    const of = keys.get(span.key)
    if (of) of.push(span)
    else keys.set(span.key, [span])
  }
  return [...keys.values()]
}
