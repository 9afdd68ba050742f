import { hostname } from 'node:os'

/**
 * What a worker is called in the store: the host, the process, and its slots. BullMQ puts it into the name of the connection, which is
 * how others know who works on a queue, and into each job it takes.
 */
export function workerName(slots: number): string {
  // A connection's name holds no spaces.
  const host = hostname().replace(/[^\w.-]/g, '-')
  return `${host}-${process.pid}-x${slots}`
}

/** Its slots; undefined for a name that is not ours. */
export function slotsOf(name: string): number | undefined {
  const slots = /-x(\d+)$/.exec(name)?.[1]
  return slots === undefined ? undefined : Number(slots)
}
