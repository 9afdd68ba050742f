import { createRequire } from 'node:module'

/*
 * A job that was in hand of processes that died may be what kills them. BullMQ counts, and buries it when it is fetched the
 * next time, with words that tell nobody what happened. And it spares the runs of a schedule, which would kill for ever.
 */

/** The third process that dies is the last one. */
export const maxStalls = 2

const { moveStalledJobsToWait: script } = createRequire(import.meta.url)(
  'bullmq/dist/cjs/scripts/moveStalledJobsToWait-9.js',
) as { moveStalledJobsToWait: { content: string } }

const theirs = {
  reason: '"job stalled more than allowable limit"',
  spared: 'stalledCount > maxStalledJobCount and not isRepeatableJob then',
}
const ours = {
  reason: '"killed its process " .. stalledCount .. " times: buried as a poison pill"',
  spared: 'stalledCount > maxStalledJobCount then',
}

/** Changes BullMQ's script in this process. Must have run before the first worker connects; a second time does nothing. */
export function namePoison(): void {
  script.content = script.content.replace(theirs.reason, ours.reason).replace(theirs.spared, ours.spared)
}
