import { Fleet, type Run } from './fleet.ts'

/* kill -9 of one worker process after the other, of two that always run, while 200 jobs a second come in. */

export type KillsAccount = {
  readonly kills: number
  readonly jobs: number
  /** Jobs that did not come to their end. */
  readonly unfinished: readonly string[]
  /** Of these, dead as a poison pill: in hand at three kills, which chance does to an innocent job now and then. */
  readonly buried: readonly string[]
  /** In hand of a process when it was killed. */
  readonly inHand: number
  /** From the kill to the start of the next run; where another process was killed in between, for each of the two. */
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
const betweenMs = 500
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
      // It looks for stalled jobs as it starts: then not all that come back are in hand of the next one to be killed.
      await pause(betweenMs)
      const oldest = workers.shift()
      if (!oldest?.child.pid) throw new Error('there is no worker')
      killedAt.set(oldest.child.pid, Date.now())
      await oldest.kill('SIGKILL')
      say(`kill ${kill}: ${fleet.added.length} jobs so far`)
    }
    await fleet.finish(againMs)
    const buried = await fleet.bull.getFailed()
    const stalls = (await fleet.fields('stc')).map(Number)
    return account({
      kills,
      buried: buried.map(({ id = '' }) => id),
      added: fleet.added,
      stalls,
      runs: fleet.runs(),
      killedAt,
    })
  } finally {
    await fleet.end()
  }
}

function account({
  kills,
  buried,
  added,
  stalls,
  runs,
  killedAt,
}: {
  kills: number
  buried: readonly string[]
  added: readonly string[]
  /** How often each of these was taken back from a process that had died, by BullMQ's count. */
  stalls: readonly number[]
  runs: ReadonlyMap<string, readonly Run[]>
  killedAt: ReadonlyMap<number, number>
}): KillsAccount {
  const ranTwice: string[] = []
  let inHand = 0
  let longestAgainMs = 0
  for (const [i, job] of added.entries()) {
    const all = runs.get(job) ?? []
    const again = all.slice(0, -1)
    inHand += stalls[i] ?? 0
    // Taken back as often as it was started again; a process may also die before the handler has noted its start.
    const unseen = (stalls[i] ?? 0) - again.length
    if (unseen < 0) ranTwice.push(job)
    for (const [n, run] of again.entries()) {
      const at = killedAt.get(run.pid)
      if (at === undefined || (run.endedAt ?? at) < at - settledMs) ranTwice.push(job)
      else longestAgainMs = Math.max(longestAgainMs, ((all[n + 1]?.startedAt ?? 0) - at) / (1 + Math.max(0, unseen)))
    }
  }
  longestAgainMs = Math.round(longestAgainMs)
  const unfinished = added.filter((job) => runs.get(job)?.at(-1)?.endedAt === undefined)
  return { kills, jobs: added.length, unfinished, buried, inHand, longestAgainMs, ranTwice }
}

export function killsLine({ kills, jobs, unfinished, buried, inHand, longestAgainMs, ranTwice }: KillsAccount): string {
  return `${kills} kills, ${jobs} jobs: ${unfinished.length} unfinished (${buried.length} buried), ${inHand} in hand of a killed process and run again within ${longestAgainMs} ms, ${ranTwice.length} run twice otherwise`
}

/** In-hand jobs are back within 45 s: a lock of 30 s, and two looks for stalled jobs 5 s apart. */
export const backWithinMs = 45_000

export function isGoodKills({ unfinished, ranTwice, longestAgainMs }: KillsAccount): boolean {
  return unfinished.length === 0 && ranTwice.length === 0 && longestAgainMs <= backWithinMs
}

/** A fault's own time. */
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
