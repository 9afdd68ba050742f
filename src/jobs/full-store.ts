import { createRequire } from 'node:module'

/*
 * At maxmemory Redis refuses a script's first write if that could need memory, and lets a script go on that has written
 * before. BullMQ's way of finishing a job begins with a deletion, so it works; its ways of fetching one, of renewing a
 * lock and of taking back a stalled job begin with other writes, so an idle worker could not start, a busy one would lose
 * its locks, and the store would stay full for ever, although every job that is done frees memory.
 *
 * A deletion of nothing in front of these scripts lets work go on. Adding jobs stays refused.
 */

const scripts = ['moveToActive-11', 'extendLock-2', 'extendLocks-1', 'moveStalledJobsToWait-9']

const require = createRequire(import.meta.url)
const prelude = `redis.call('DEL', KEYS[1] .. ':nothing')\n`

/** Changes BullMQ's scripts in this process. Must have run before the first worker connects; a second time does nothing. */
export function letWorkGoOn(): void {
  for (const file of scripts) {
    const script = Object.values(require(`bullmq/dist/cjs/scripts/${file}.js`) as Record<string, { content?: string }>)
      .filter((value) => typeof value.content === 'string')
      .at(0)
    // Another version with other scripts must be noticed by whoever changes the version, not at the first full store.
    if (!script?.content) throw new Error(`BullMQ has no script ${file}`)
    if (!script.content.startsWith(prelude)) script.content = prelude + script.content
  }
}
