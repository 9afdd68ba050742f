import { until } from '../harness/until.ts'
import { type Fault, type FaultName, faults } from './faults.ts'
import { Rig } from './rig.ts'
import { Senders } from './senders.ts'

/*
 * One fault under load, on real processes and the managed stores, and the account afterwards. An acknowledged event is
 * found when its deduplication key names a job, and that job has run to its end by the workers' own log.
 */

export type Account = {
  readonly fault: FaultName
  readonly acknowledged: number
  /** Of these, by the answer's own words. */
  readonly viaQueue: number
  readonly viaSpool: number
  readonly found: number
  readonly lost: readonly string[]
  /** Events with two jobs that ran. */
  readonly doubled: readonly string[]
  /** Jobs that came to their end more than once, though no worker had died with them in hand. */
  readonly ranTwice: number
  /** Jobs that a killed worker had ended without being able to say so: they must run again. */
  readonly ranAgain: number
  /** Answered with something else than a 2xx; the slowest of these answers. */
  readonly refused: number
  readonly slowestRefusalMs: number
  /** Had no answer at all. */
  readonly unanswered: number
  /** From the fault to the first acknowledgement after it. */
  readonly recoveredMs: number
  /** From the end of the fault until nothing waited on the disk; 0 when nothing did. */
  readonly spoolEmptyMs: number
  /** From the end of the fault until every job had run; a job that nobody knows of any more comes back after 40 s. */
  readonly doneMs: number
}

export type RoundOptions = {
  readonly beforeMs?: number
  readonly afterMs?: number
  readonly say?: (line: string) => void
  /** Told of what there is to end, should somebody interrupt. */
  readonly onStart?: (rig: Promise<Rig>) => void
}

const lookMs = 20

export async function runFault(
  name: FaultName,
  { beforeMs = 1_000, afterMs = 2_000, say = () => {}, onStart = () => {} }: RoundOptions = {},
): Promise<Account> {
  const fault: Fault = faults[name]
  const starting = Rig.start()
  onStart(starting)
  const rig = await starting
  let spool: SpoolWatch | undefined
  let senders: Senders | undefined
  try {
    // — load
    senders = new Senders(rig.http.url)
    await pause(beforeMs)

    // — fault
    say(`${fault.about}, after ${senders.acknowledged.size} acknowledged`)
    const killed = fault.killsWorker ? rig.worker : undefined
    await fault.strike(rig)
    // Only what was sent after it says anything about recovery.
    senders.struck()
    await fault.mend?.(rig, senders)
    const mendedAt = performance.now()
    spool = new SpoolWatch(rig)
    await pause(afterMs)
    await until(() => senders?.recoveredAt, 'an event is acknowledged again')
    await senders.stop()

    // — account
    say(`${senders.acknowledged.size} acknowledged, waiting for the workers`)
    await rig.untilIdle()
    const doneMs = Math.round(performance.now() - mendedAt)
    const events = [...senders.acknowledged.keys()]
    const jobs = await rig.jobsOf(events)
    await rig.stop()
    const { ran, jobsByEvent } = readLogs(rig.outputs.map((output) => output()))
    const ranOfKilled = killed && readLogs([killed.output()]).ran
    const lost = events.filter((_, i) => !ran.has(jobs[i] ?? ''))
    const twice = [...ran].filter(([, times]) => times > 1).map(([job]) => job)
    const again = twice.filter((job) => ran.get(job) === 2 && ranOfKilled?.get(job) === 1)
    return {
      fault: name,
      acknowledged: events.length,
      viaQueue: senders.countOf('queue'),
      viaSpool: senders.countOf('spool'),
      found: events.length - lost.length,
      lost,
      doubled: [...jobsByEvent].filter(([, ids]) => ids.size > 1).map(([event]) => event),
      ranTwice: twice.length - again.length,
      ranAgain: again.length,
      refused: senders.refused,
      slowestRefusalMs: senders.slowestRefusalMs,
      unanswered: senders.unanswered,
      recoveredMs: senders.recoveredMs,
      spoolEmptyMs: spool.emptyMs,
      doneMs,
    }
  } finally {
    spool?.stop()
    await senders?.stop()
    await rig.end()
  }
}

/** When the last event left the disk. */
class SpoolWatch {
  readonly #began = performance.now()
  readonly #timer: NodeJS.Timeout
  #lastSeen = this.#began

  constructor(rig: Rig) {
    this.#timer = setInterval(() => {
      if (rig.segments() > 0) this.#lastSeen = performance.now()
    }, lookMs)
  }

  get emptyMs(): number {
    return Math.round(this.#lastSeen - this.#began)
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}

type Logs = {
  /** Job → how often a worker wrote that it came to its end. */
  readonly ran: ReadonlyMap<string, number>
  /** By what the handler said. */
  readonly jobsByEvent: ReadonlyMap<string, ReadonlySet<string>>
}

/** Of workers that have ended. */
export function readLogs(outputs: readonly string[]): Logs {
  const ran = new Map<string, number>()
  const jobsByEvent = new Map<string, Set<string>>()
  for (const output of outputs) {
    for (const [, job = ''] of output.matchAll(/"queue":"slack-events","job":"([^"]+)"[^\n]*"outcome":"done"/g))
      ran.set(job, (ran.get(job) ?? 0) + 1)
    for (const [, job = '', event = ''] of output.matchAll(/"job":"([^"]+)"[^\n]*"text":"[^"]* I heard you: (\w+)"/g))
      jobsByEvent.set(event, (jobsByEvent.get(event) ?? new Set()).add(job))
  }
  return { ran, jobsByEvent }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
