import { fork } from 'node:child_process'
import { once } from 'node:events'
import { pino } from 'pino'
import { Limiter } from '../../src/limits/limiter.ts'
import { createMetrics } from '../../src/observe/metrics.ts'
import { connect, untilReady } from '../../src/redis/store.ts'
import { built } from '../harness/process.ts'

/** A limiter on a connection as the App opens it, with the lines that it logs. */
export async function openLimiter(
  path: string,
  prefix: string,
  more: { now?: () => number; patienceMs?: number } = {},
) {
  const redis = connect({ host: '', port: 0, path, db: 0 }, 'producer', { timeoutMs: 1_000 + (more.patienceMs ?? 0) })
  await untilReady(redis)
  const lines: string[] = []
  const log = pino({ base: null }, { write: (line: string) => void lines.push(line) })
  const metrics = createMetrics()
  const limiter = new Limiter({ redis, prefix, log, metrics, ...more })
  return {
    redis,
    limiter,
    lines,
    isAlone: async () => (await metrics.limitsFallback.get()).values[0]?.value === 1,
    close: () => redis.disconnect(),
  }
}

/** A process with a limiter of its own: test/limits/child.ts. */
export async function startChild(path: string, prefix: string) {
  const child = fork(built('../test/limits/child.js'), [path, prefix], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const ended = once(child, 'exit')
  await once(child, 'message')
  return {
    /** Takes `calls` times and resolves with how many passed. */
    take: async (calls: number): Promise<{ ok: number; isAlone: boolean }> => {
      child.send(calls)
      const [answer] = await once(child, 'message')
      return answer as { ok: number; isAlone: boolean }
    },
    start: (calls: number) => void child.send(calls),
    kill: async () => {
      child.kill('SIGKILL')
      await ended
    },
  }
}
