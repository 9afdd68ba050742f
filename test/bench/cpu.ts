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
export function countCpu(pids: { process: number; store: number; helpers: readonly number[] }) {
  const all = [...new Set([pids.process, pids.store, process.pid, ...pids.helpers])]
  const read = () => ({ at: performance.now(), machine: machineSeconds(), own: all.map(processSeconds) })
  const before = read()
  return (items: number): CpuTimes => {
    const after = read()
    const spent = after.own.map((seconds, i) => seconds - (before.own[i] ?? Number.NaN))
    const others = after.machine - before.machine - spent.reduce((sum, seconds) => sum + seconds, 0)
    const known = (value: number) => (Number.isNaN(value) ? undefined : value)
    return {
      processCpu: known(((spent[0] ?? Number.NaN) * 1e6) / items),
      storeCpu: known(((spent[1] ?? Number.NaN) * 1e6) / items),
      otherCores: known(Math.max(0, others / ((after.at - before.at) / 1_000))),
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
