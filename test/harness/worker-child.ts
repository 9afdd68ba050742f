import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { BullQueue } from '../../src/jobs/bull.ts'
import { built } from './process.ts'
import { until } from './until.ts'

/** A process of test/jobs/<file>, which prints `ready`, and lines about its jobs. */
export async function startWorkerChild(file: string, args: readonly string[]) {
  const child = spawn(process.execPath, [built(`../test/jobs/${file}.js`), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk
  })
  const ended = once(child, 'close').then(([code, signal]) => (signal ?? code) as string | number)
  const kill = () => {
    child.kill('SIGKILL')
    return ended
  }
  const isOver = () => child.exitCode !== null || child.signalCode !== null
  await until(() => output.includes('ready\n') || isOver(), 'the child is ready')
  /** The numbers of the jobs it was given, in order. */
  const jobs = () => [...output.matchAll(/^job (\d+)$/gm)].map(([, n]) => Number(n))
  return { ended, kill, jobs, output: () => output }
}

/** As 30 s after a kill: nobody renews the lock, and a check has seen the job in hand of nobody. The next to start takes it back. */
export async function outliveLock(bull: BullQueue, id: string): Promise<void> {
  await bull.redis.del(`${bull.toKey(id)}:lock`, bull.toKey('stalled-check'))
  await bull.redis.sadd(bull.toKey('stalled'), id)
}
