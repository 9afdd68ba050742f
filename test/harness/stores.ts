import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/* The processes behind the managed stores of a DATA_DIR. */

export function storePid(dataDir: string, store: 'queue' | 'cache'): number {
  return whole(readFileSync(join(dataDir, 'redis', `${store}.pid`), 'utf8'))
}

/** The keeper writes its pid into its log when it starts. */
export function keeperPid(dataDir: string): number {
  const starts = [...readFileSync(join(dataDir, 'redis', 'keeper.log'), 'utf8').matchAll(/keeper (\d+) started/g)]
  return whole(starts.at(-1)?.[1])
}

/** A file that is just being written is empty; a signal to process 0 would go to all of our own. */
function whole(text = ''): number {
  const pid = Number(text)
  if (!(pid > 1)) throw new Error(`${JSON.stringify(text)} is no pid`)
  return pid
}
