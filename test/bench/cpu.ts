import { readFileSync } from 'node:fs'

/** Linux counts CPU time in hundredths of a second, whatever its own tick is. */
const ticksPerSecond = 100

/** CPU time of one run. Undefined where there is no /proc. */
export type CpuTimes = {
  /** Microseconds for each item. */
  readonly processCpu: number | undefined
  readonly storeCpu: number | undefined
  /** Cores that were busy with something else than the benchmark. */
  readonly otherCores: number | undefined
}

/** Starts to count; call what it returns at the end. `helpers` are measured only so that they are not taken for strangers. */
export function countCpu(pids: { process: number; store: number | undefined; helpers: readonly number[] }) {
  const { process: measured, store } = pids
  const others = new Set([process.pid, ...pids.helpers].filter((pid) => pid !== measured && pid !== store))
  const read = () => ({
    at: performance.now(),
    machine: machineSeconds(),
    process: processSeconds(measured),
    store: store === undefined ? undefined : processSeconds(store),
    helpers: [...others].reduce((sum, pid) => sum + processSeconds(pid), 0),
  })
  const before = read()
  return (items: number): CpuTimes => {
    const after = read()
    const spent = after.process - before.process
    const stored = store === undefined ? undefined : (after.store ?? Number.NaN) - (before.store ?? Number.NaN)
    const strangers = after.machine - before.machine - spent - (stored ?? 0) - (after.helpers - before.helpers)
    const known = (value: number) => (Number.isNaN(value) ? undefined : value)
    return {
      processCpu: known((spent * 1e6) / items),
      storeCpu: stored === undefined ? undefined : known((stored * 1e6) / items),
      otherCores: known(Math.max(0, strangers / ((after.at - before.at) / 1_000))),
    }
  }
}

/** User and system time of a process so far. */
function processSeconds(pid: number): number {
  const stat = read(`/proc/${pid}/stat`)
  // After the name, which may hold anything, in parentheses: state is field 3, utime and stime are 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond
}

/** The same of the whole machine, kernel included. */
function machineSeconds(): number {
  const [user, nice, system, , , irq, softirq] = (read('/proc/stat').split('\n')[0] ?? '')
    .split(/ +/)
    .slice(1)
    .map(Number)
  const sum = [user, nice, system, irq, softirq].reduce<number>((total, ticks) => total + (ticks ?? Number.NaN), 0)
  return sum / ticksPerSecond
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
