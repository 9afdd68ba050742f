import { createRequire } from 'node:module'

/*
 * At maxmemory Redis refuses a script's first write if that could need memory, and lets a script go on that has written
 * before. BullMQ's way of finishing a job begins with a deletion, so it works; its ways of fetching one, of renewing a
 * lock and of taking back a stalled job begin with other writes, so an idle worker could not start, a busy one would lose
 * its locks, and the store would stay full for ever, although every job that is done frees memory.
 *
 * A deletion of nothing in front of these scripts lets work go on. Adding jobs stays refused.
 */

type Script = { content: string }

const require = createRequire(import.meta.url)
const { moveToActive } = require('bullmq/dist/cjs/scripts/moveToActive-11.js') as { moveToActive: Script }
const { extendLock } = require('bullmq/dist/cjs/scripts/extendLock-2.js') as { extendLock: Script }
const { extendLocks } = require('bullmq/dist/cjs/scripts/extendLocks-1.js') as { extendLocks: Script }
const { moveStalledJobsToWait } = require('bullmq/dist/cjs/scripts/moveStalledJobsToWait-9.js') as {
  moveStalledJobsToWait: Script
}

const prelude = `redis.call('DEL', KEYS[1] .. ':nothing')\n`

/** Changes BullMQ's scripts in this process. Must have run before the first worker connects; a second time does nothing. */
export function letWorkGoOn(): void {
  for (const script of [moveToActive, extendLock, extendLocks, moveStalledJobsToWait])
    if (!script.content.startsWith(prelude)) script.content = prelude + script.content
}
