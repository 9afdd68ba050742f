import { Fleet, type Run } from './fleet.ts'

/* kill -9 of one worker process after the other, of two that always run, while 200 jobs a second come in. */

export type KillsAccount = {
  readonly kills: number
  readonly jobs: number
  /** Jobs that did not come to their end, dead ones included. */
  readonly unfinished: number
  /** In hand of a process when it was killed. */
  readonly inHand: number
  /** From the kill to the start of the next run. */
  readonly longestAgainMs: number
  /** Runs of jobs that no kill had interrupted. */
  readonly ranTwice: readonly string[]
}

export type KillsOptions = {
  readonly kills: number
  readonly say?: (line: string) => void
  readonly onStart?: (fleet: Promise<Fleet>) => void
}

const perSecond = 200
/** A handler that has ended may not have said so to the store; more than this before the kill it has. */
const settledMs = 2_000
/** A lock, two looks for stalled jobs, and room for a busy machine. */
const againMs = 90_000

export async function runKills({ kills, say = () => {}, onStart = () => {} }: KillsOptions): Promise<KillsAccount> {
  const starting = Fleet.start({ grace: '5s' })
  onStart(starting)
  const fleet = await starting
  try {
    const killedAt = new Map<number, number>()
    const workers = [await fleet.startWorker(), await fleet.startWorker()]
    fleet.load(perSecond)
    for (let kill = 1; kill <= kills; kill += 1) {
      workers.push(await fleet.startWorker())
      const oldest = workers.shift()
      if (!oldest?.child.pid) throw new Error('there is no worker')
      killedAt.set(oldest.child.pid, Date.now())
      await oldest.kill('SIGKILL')
      say(`kill ${kill}: ${fleet.added.length} jobs so far`)
    }
    await fleet.finish(againMs)
    const failed = await fleet.bull.getJobCountByTypes('failed')
    return account({ kills, failed, added: fleet.added, runs: fleet.runs(), killedAt })
  } finally {
    await fleet.end()
  }
}

function account({
  kills,
  failed,
  added,
  runs,
  killedAt,
}: {
  kills: number
  failed: number
  added: readonly string[]
  runs: ReadonlyMap<string, readonly Run[]>
  killedAt: ReadonlyMap<number, number>
}): KillsAccount {
  const ranTwice: string[] = []
  let inHand = 0
  let longestAgainMs = 0
  for (const [job, all] of runs)
    for (const [i, run] of all.slice(0, -1).entries()) {
      const at = killedAt.get(run.pid)
      if (at === undefined || (run.endedAt ?? at) < at - settledMs) ranTwice.push(job)
      else {
        inHand += 1
        longestAgainMs = Math.max(longestAgainMs, (all[i + 1]?.startedAt ?? 0) - at)
      }
    }
  const ended = added.filter((job) => runs.get(job)?.at(-1)?.endedAt !== undefined).length
  return { kills, jobs: added.length, unfinished: added.length - ended + failed, inHand, longestAgainMs, ranTwice }
}

export function killsLine({ kills, jobs, unfinished, inHand, longestAgainMs, ranTwice }: KillsAccount): string {
  return `${kills} kills, ${jobs} jobs: ${unfinished} unfinished, ${inHand} in hand of a killed process and run again within ${longestAgainMs} ms, ${ranTwice.length} run twice otherwise`
}

/** In-hand jobs are back within 45 s: a lock of 30 s, and two looks for stalled jobs 5 s apart. */
export const backWithinMs = 45_000

export function isGoodKills({ unfinished, ranTwice, longestAgainMs }: KillsAccount): boolean {
  return unfinished === 0 && ranTwice.length === 0 && longestAgainMs <= backWithinMs
}
