import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'
import { median } from './report.ts'

/** Figures mean nothing without it. */
export function machine(redisVersion: string) {
  return {
    cores: availableParallelism(),
    cpu: cpus()[0]?.model ?? 'unknown',
    memoryGb: Math.round(totalmem() / 1024 ** 3),
    node: process.version,
    redis: redisVersion,
    date: new Date().toISOString(),
    durability: 'appendonly yes, appendfsync always, noeviction; on both sides',
    fsyncMs: Math.round(fsyncMs() * 1_000) / 1_000,
  }
}

export function machineLine({
  cores,
  cpu,
  memoryGb,
  node,
  redis,
  date,
  durability,
  fsyncMs,
}: ReturnType<typeof machine>) {
  return `${cores} × ${cpu}, ${memoryGb} GB; Node ${node}; Redis ${redis}; ${date}\n${durability}; fsync of 4 KB takes ${fsyncMs} ms`
}

/** Where the stores of the benchmark are: what a disk promises is most of what durability costs. */
function fsyncMs(): number {
  const path = join(tmpdir(), `millrace-fsync-${process.pid}`)
  const file = openSync(path, 'w')
  const page = Buffer.alloc(4_096, 1)
  const times = Array.from({ length: 50 }, () => {
    const began = performance.now()
    writeSync(file, page)
    fdatasyncSync(file)
    return performance.now() - began
  })
  closeSync(file)
  rmSync(path)
  return median(times)
}
