import { mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { createSink, createSpools, empty, segmentsIn } from '../harness/spool.ts'
import { until } from '../harness/until.ts'

/* Bytes that are not those that were written: whatever was cut or changed, what is before it comes, and nothing else. */

const { folder, open, leaveSegment, drainAll, cleanUp, lines } = createSpools()
afterEach(cleanUp)

/** Of a process that is dead: its socket is missing. */
function leaveCopy(dir: string, segment: string, bytes = readFileSync(segment)): void {
  const dead = join(dir, '0123456789ab')
  mkdirSync(dead, { recursive: true })
  writeFileSync(join(dead, basename(segment)), bytes)
}

describe('a segment', () => {
  const records = ['r0 one', 'r1 two two', 'r2 three three', 'r3 the last one']
  const lastBytes = 24 + 'r3 the last one'.length

  it('cut at any byte of its last record gives all before it', async () => {
    const segment = await leaveSegment(folder(), records)
    const bytes = readFileSync(segment)
    for (let cut = 1; cut <= lastBytes; cut++) {
      for (const garbage of ['', '\0'.repeat(4_096), 'x'.repeat(Math.min(cut, 23))]) {
        const dir = folder()
        leaveCopy(dir, segment, Buffer.concat([bytes.subarray(0, bytes.length - cut), Buffer.from(garbage)]))
        expect(await drainAll(dir), `cut by ${cut}`).toEqual(['r0', 'r1', 'r2'])
        if (garbage === '') expect(readdirSync(dir)).toEqual([])
      }
    }
  })

  it('cut within its own header gives nothing and goes', async () => {
    const segment = await leaveSegment(folder(), records)
    for (let size = 0; size <= 16; size++) {
      const dir = folder()
      leaveCopy(dir, segment, readFileSync(segment).subarray(0, size))
      expect(await drainAll(dir)).toEqual([])
      expect(readdirSync(dir)).toEqual([])
    }
  })

  it('with any byte changed gives what is before it, and is set aside', async () => {
    const segment = await leaveSegment(folder(), records)
    const bytes = readFileSync(segment)
    const starts = records.map((_, i) => 16 + records.slice(0, i).reduce((sum, record) => sum + 24 + record.length, 0))
    // Of the last record a length that was changed looks like a torn write: see reader.ts.
    for (let at = 0; at < bytes.length - lastBytes; at += 1) {
      const dir = folder()
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ 0x10
      leaveCopy(dir, segment, changed)
      lines.length = 0
      const before = starts.filter((start) => start <= at).length - 1
      expect(await drainAll(dir), `byte ${at}`).toEqual(['r0', 'r1', 'r2', 'r3'].slice(0, Math.max(0, before)))
      const aside = join(dir, 'damaged', basename(segment))
      expect(readFileSync(aside).equals(changed)).toBe(true)
      expect(lines.filter(({ level }) => level === 'error').map(({ fields }) => fields.file)).toEqual([aside])
    }
  })

  it('of its own that was cut is damaged, for nothing in it was unacknowledged', async () => {
    const dir = folder()
    const sink = createSink()
    sink.isAway = true
    const spool = open({ dir, drain: sink.drain })
    await spool.start()
    await spool.append(Buffer.from('r0'))
    await until(() => sink.offered.length > 0, 'the first segment is sealed')
    await Promise.all(records.map((record) => spool.append(Buffer.from(record))))
    const [, path = ''] = segmentsIn(dir)
    truncateSync(path, statSync(path).size - 3)
    sink.isAway = false
    spool.wake()
    await empty(spool)
    expect(sink.taken).toEqual(['r0', 'r0', 'r1', 'r2'])
    expect(segmentsIn(dir)).toEqual([join(dir, 'damaged', basename(path))])
  })
})
