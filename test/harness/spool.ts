import { type Dirent, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MillraceError } from '../../src/errors.ts'
import { Spool, type SpoolOptions } from '../../src/ingest/spool.ts'
import type { Logger } from '../../src/observe/log.ts'
import { until } from './until.ts'

/** A store that can be away: takes records, refuses them, and remembers in which order they came. */
export function createSink() {
  const taken: string[] = []
  const offered: string[] = []
  const refusals = new Map<string, Error>()
  const sink = {
    taken,
    /** With those that were not taken. */
    offered,
    refusals,
    isAway: false,
    drain: async (record: Buffer): Promise<void> => {
      const text = idOf(record)
      offered.push(text)
      await new Promise(setImmediate)
      if (sink.isAway) throw new MillraceError('store-unavailable')
      const refusal = refusals.get(text)
      if (refusal) throw refusal
      taken.push(text)
    },
  }
  return sink
}

/** Records may be padded: what counts is before the first space. */
export function idOf(record: Buffer): string {
  return record.toString('latin1', 0, 100).split(' ')[0] ?? ''
}

export type Line = { level: string; message: string; fields: Record<string, unknown> }

export function createSpools() {
  const cleanups: (() => Promise<void> | void)[] = []
  const lines: Line[] = []
  const write =
    (level: string) =>
    (fields: Record<string, unknown> | string, message = ''): void =>
      void lines.push(typeof fields === 'string' ? { level, message: fields, fields: {} } : { level, message, fields })
  const log = { info: write('info'), warn: write('warn'), error: write('error') } as unknown as Logger

  function folder(more = ''): string {
    const dir = mkdtempSync(join(tmpdir(), 'millrace-spool-'))
    cleanups.push(() => rmSync(dir, { recursive: true, force: true }))
    return join(dir, more)
  }

  function open(options: Partial<SpoolOptions> & Pick<SpoolOptions, 'dir' | 'drain'>): Spool {
    const spool = new Spool({ limit: 64 * 1024 ** 2, log, ...options })
    cleanups.push(() => spool.stop(Date.now() + 1_000))
    return spool
  }

  /** What a process leaves that stopped while the store was away: one segment with these records. */
  async function leaveSegment(dir: string, records: readonly string[]): Promise<string> {
    const sink = createSink()
    sink.isAway = true
    const spool = open({ dir, drain: sink.drain })
    await spool.start()
    await Promise.all(records.map((record) => spool.append(Buffer.from(record))))
    await spool.stop(soon())
    const [path = ''] = segmentsIn(dir)
    return path
  }

  async function drainAll(dir: string): Promise<string[]> {
    const sink = createSink()
    const spool = open({ dir, drain: sink.drain })
    await spool.start()
    await empty(spool)
    await spool.stop(soon())
    return sink.taken
  }

  async function cleanUp(): Promise<void> {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
    lines.length = 0
  }

  return {
    folder,
    open,
    leaveSegment,
    drainAll,
    cleanUp,
    lines,
    onCleanUp: (cleanup: () => void) => cleanups.push(cleanup),
  }
}

/** Paths of the segments below `dir`, those set aside included, oldest first. */
export function segmentsIn(dir: string): string[] {
  return filesBelow(dir)
    .filter((entry) => entry.isFile() && entry.name.endsWith('.segment'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort((a, b) => ((a.split('/').at(-1) ?? '') < (b.split('/').at(-1) ?? '') ? -1 : 1))
}

/** Looks again when a folder went while it looked: its files are then in another, or handed over. */
function filesBelow(dir: string): Dirent[] {
  for (;;) {
    try {
      return readdirSync(dir, { recursive: true, withFileTypes: true })
    } catch (error) {
      const { code, path } = error as NodeJS.ErrnoException
      if (code !== 'ENOENT' || path === dir) throw error
    }
  }
}

export const empty = (spool: Spool) =>
  until(() => spool.stats().events === 0 && spool.stats().bytes === 0, 'all is drained')

export const soon = () => Date.now() + 5_000
