import { createRequire } from 'node:module'
import { gateScript, type Kind } from './gate/calls.ts'
import { schedulePrefix } from './schedule-id.ts'

/*
 * BullMQ's scripts as this process sends them. They are BullMQ's own, with up to three things put in front.
 */

type Script = { content: string }

const require = createRequire(import.meta.url)
const { addJobScheduler } = require('bullmq/dist/cjs/scripts/addJobScheduler-11.js') as { addJobScheduler: Script }
const { addPrioritizedJob } = require('bullmq/dist/cjs/scripts/addPrioritizedJob-9.js') as { addPrioritizedJob: Script }
const { addStandardJob } = require('bullmq/dist/cjs/scripts/addStandardJob-9.js') as { addStandardJob: Script }
const { changePriority } = require('bullmq/dist/cjs/scripts/changePriority-7.js') as { changePriority: Script }
const { extendLock } = require('bullmq/dist/cjs/scripts/extendLock-2.js') as { extendLock: Script }
const { extendLocks } = require('bullmq/dist/cjs/scripts/extendLocks-1.js') as { extendLocks: Script }
const { moveJobFromActiveToWait } = require('bullmq/dist/cjs/scripts/moveJobFromActiveToWait-9.js') as {
  moveJobFromActiveToWait: Script
}
const { moveJobsToWait } = require('bullmq/dist/cjs/scripts/moveJobsToWait-8.js') as { moveJobsToWait: Script }
const { moveStalledJobsToWait } = require('bullmq/dist/cjs/scripts/moveStalledJobsToWait-9.js') as {
  moveStalledJobsToWait: Script
}
const { moveToActive } = require('bullmq/dist/cjs/scripts/moveToActive-11.js') as { moveToActive: Script }
const { moveToDelayed } = require('bullmq/dist/cjs/scripts/moveToDelayed-11.js') as { moveToDelayed: Script }
const { moveToFinished } = require('bullmq/dist/cjs/scripts/moveToFinished-14.js') as { moveToFinished: Script }
const { moveToWaitingChildren } = require('bullmq/dist/cjs/scripts/moveToWaitingChildren-7.js') as {
  moveToWaitingChildren: Script
}
const { promote } = require('bullmq/dist/cjs/scripts/promote-9.js') as { promote: Script }
const { removeJob } = require('bullmq/dist/cjs/scripts/removeJob-2.js') as { removeJob: Script }
const { reprocessJob } = require('bullmq/dist/cjs/scripts/reprocessJob-9.js') as { reprocessJob: Script }
const { retryJob } = require('bullmq/dist/cjs/scripts/retryJob-11.js') as { retryJob: Script }
const { updateJobScheduler } = require('bullmq/dist/cjs/scripts/updateJobScheduler-12.js') as {
  updateJobScheduler: Script
}

/**
 * At maxmemory Redis refuses a script's first write if that could need memory, and lets a script go on that has written
 * before. BullMQ's way of finishing a job begins with a deletion, so it works; its ways of fetching one, of renewing a
 * lock and of taking back a stalled job begin with other writes, so an idle worker could not start, a busy one would lose
 * its locks, and the store would stay full for ever, although every job that is done frees memory. A deletion of nothing in
 * front of these scripts lets work go on. Adding jobs stays refused.
 */
const letWorkGoOn = `redis.call('DEL', KEYS[1] .. ':nothing')\n`
const mustGoOn = [moveToActive, extendLock, extendLocks, moveStalledJobsToWait]

/**
 * Where a schedule of ours is planned anew while its run is due and not yet taken, BullMQ would replace that run by the next.
 * Here it becomes a job that nobody plans by, and stays.
 */
const keepDueRun = `local due = string.sub(ARGV[3], 1, ${schedulePrefix.length}) == '${schedulePrefix}' and redis.call('ZSCORE', KEYS[1], ARGV[3])
if due and tonumber(due) <= tonumber(ARGV[7]) then redis.call('ZREM', KEYS[1], ARGV[3]) end\n`

/** A cancellation that came too late must not stop a new run. BullMQ forgets it only for jobs that failed. */
const forgetMark = `redis.call('HDEL', KEYS[1], 'defa')\n`

/** Behind a gate a job's priority is its lane, where it has its tenant's slot and its key's order: another one would lose both. */
const keepLane = `if redis.call('EXISTS', (string.gsub(KEYS[4], 'prioritized$', 'gate'))) == 1 then
  return redis.error_reply('ERR jobs of this queue take turns; they have no priority of their own')
end\n`

/** Those that put jobs to wait, take them or give them back. */
const gated = [
  addJobScheduler,
  addPrioritizedJob,
  addStandardJob,
  moveJobFromActiveToWait,
  moveJobsToWait,
  moveStalledJobsToWait,
  moveToActive,
  moveToDelayed,
  moveToWaitingChildren,
  promote,
  retryJob,
  updateJobScheduler,
]

/** Changes BullMQ's scripts in this process. Must have run before the first queue or worker connects; a second time does nothing. */
export function prepareScripts(): void {
  for (const script of mustGoOn)
    if (!script.content.startsWith(letWorkGoOn)) script.content = letWorkGoOn + script.content
  if (!addJobScheduler.content.startsWith(keepDueRun)) addJobScheduler.content = keepDueRun + addJobScheduler.content
  if (!changePriority.content.startsWith(keepLane)) changePriority.content = keepLane + changePriority.content
  if (!reprocessJob.content.startsWith(forgetMark)) reprocessJob.content = forgetMark + reprocessJob.content
  for (const script of gated) gate(script, 'moves')
  gate(moveToFinished, 'finishes')
  // Those whose first key is a job's, the id of which may hold anything.
  gate(reprocessJob, 'moves', "string.match(KEYS[2], '^.*:')")
  gate(removeJob, 'removes', 'ARGV[3]')
}

function gate(script: Script, kind: Kind, prefix?: string): void {
  if (!script.content.includes('gatePrefix')) script.content = gateScript(script.content, kind, prefix)
}
