import { spawnSync } from 'node:child_process'
import { until } from '../harness/until.ts'
import type { Rig } from './rig.ts'
import type { Senders } from './senders.ts'

/* What can go wrong, one by one. Each is made on real processes, with real signals and limits, while events come in. */

export type Fault = {
  readonly about: string
  /** What a worker had in hand that dies runs again, when its lock has run out. */
  readonly killsWorker?: true
  /** The server dies, or its disk is full: not everybody can have a 2xx. */
  readonly refuses?: true
  /** Some of it must go the way over the spool. */
  readonly spools?: true
  /** Why this machine cannot have it. */
  readonly impossible?: () => string | undefined
  strike(rig: Rig): Promise<void> | void
  /** Keeps it up for its time, then ends it. */
  mend?(rig: Rig, senders: Senders): Promise<void>
}

const awayMs = 5_000
const shortOfRoom = 64 * 1024
const smallStore = 64 * 1024 ** 2
const megabyte = 'x'.repeat(1024 ** 2)

export const faults = {
  server: {
    about: 'kill -9 of the server',
    refuses: true,
    strike: async (rig) => void (await rig.http.kill('SIGKILL')),
    mend: (rig) => rig.startHttp(),
  },
  worker: {
    about: 'kill -9 of the worker',
    killsWorker: true,
    strike: async (rig) => void (await rig.worker.kill('SIGKILL')),
    mend: (rig) => rig.startWorker(),
  },
  redis: { about: 'kill -9 of the queue store', strike: (rig) => rig.signalStore('SIGKILL') },
  keeper: { about: "kill -9 of the stores' keeper", strike: (rig) => rig.signalKeeper('SIGKILL') },
  both: {
    about: 'kill -9 of the queue store and the server',
    refuses: true,
    strike: async (rig) => {
      rig.signalStore('SIGKILL')
      await rig.http.kill('SIGKILL')
    },
    mend: (rig) => rig.startHttp(),
  },
  everything: {
    about: 'kill -9 of store, server and worker',
    killsWorker: true,
    refuses: true,
    strike: async (rig) => {
      rig.signalStore('SIGKILL')
      await Promise.all([rig.http.kill('SIGKILL'), rig.worker.kill('SIGKILL')])
    },
    mend: async (rig) => {
      await rig.startHttp()
      await rig.startWorker()
    },
  },
  hang: {
    about: 'the queue store stands still for 5 s',
    spools: true,
    strike: (rig) => rig.signalStore('SIGSTOP'),
    mend: async (rig) => {
      await pause(awayMs)
      rig.signalStore('SIGCONT')
    },
  },
  full: {
    about: 'the queue store is full of somebody else’s data',
    spools: true,
    strike: async (rig) => {
      // Work that is left over when the store is full already.
      rig.worker.child.kill('SIGSTOP')
      await until(async () => (await rig.waiting()) > 200, 'work has piled up')
      await rig.redis.config('SET', 'maxmemory', String(smallStore))
      await untilFull(rig)
    },
    mend: async (rig) => {
      const over = pause(awayMs)
      rig.worker.child.kill('SIGCONT')
      await until(async () => (await rig.unfinished()) === 0, 'the work is done at a full store')
      await over
      await rig.redis.del('foreign')
    },
  },
  adopt: {
    about: 'the queue store is away for 5 s, and the server killed with events in its spool',
    refuses: true,
    spools: true,
    strike: (rig) => {
      // Or it would start another one at once.
      rig.signalKeeper('SIGSTOP')
      rig.signalStore('SIGKILL')
    },
    mend: async (rig, senders) => {
      const over = pause(awayMs)
      await pause(awayMs / 2)
      await until(() => senders.countOf('spool') > 100, 'events are in the spool')
      await rig.http.kill('SIGKILL')
      await over
      rig.signalKeeper('SIGCONT')
      await rig.startHttp()
    },
  },
  disk: {
    about: 'the disk is full while the queue store stands still',
    refuses: true,
    spools: true,
    impossible: () =>
      spawnSync('prlimit', ['--version']).status === 0
        ? undefined
        : 'there is no prlimit (of util-linux) to make the disk full with',
    strike: (rig) => rig.signalStore('SIGSTOP'),
    mend: async (rig, senders) => {
      const more = (what: 'spooled' | 'refused', count: number) => {
        const now = () => (what === 'refused' ? senders.refused : senders.countOf('spool'))
        const wanted = now() + count
        return until(() => now() >= wanted, `${count} more are ${what}`)
      }
      await more('spooled', 100)
      // Files end after so many bytes, and a write is cut off there; then not a byte is written any more.
      limitFiles(rig, String(shortOfRoom))
      await Promise.all([pause(1_000), more('spooled', 100), more('refused', 1)])
      limitFiles(rig, '0')
      await Promise.all([pause(1_500), more('refused', 100)])
      limitFiles(rig, 'unlimited')
      await more('spooled', 100)
      rig.signalStore('SIGCONT')
    },
  },
} as const satisfies Record<string, Fault>

export type FaultName = keyof typeof faults
export const faultNames = Object.keys(faults) as FaultName[]

/** Of the server alone: the most that a file may have. The limit can be lifted again. */
function limitFiles({ http }: Rig, bytes: string): void {
  const { status, stderr } = spawnSync('prlimit', ['--pid', String(http.child.pid), `--fsize=${bytes}:`])
  if (status !== 0) throw new Error(`prlimit: ${stderr}`)
}

async function untilFull({ redis }: Rig): Promise<void> {
  for (;;)
    try {
      await redis.rpush('foreign', megabyte)
    } catch (error) {
      if (/OOM/.test(String(error))) return
      throw error
    }
}

/** A fault's own time. */
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
