import { readdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { MillraceError } from '../../src/errors.ts'
import { createSink, createSpools, segmentsIn, soon } from '../harness/spool.ts'
import { until } from '../harness/until.ts'

const { folder, open, cleanUp, lines } = createSpools()
afterEach(cleanUp)

const ids = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `r${from + i}`)
const records = (names: readonly string[]) => names.map((name) => Buffer.from(name))

describe('drain', () => {
  it('keeps the order through outages of the store, and removes what was taken', async () => {
    const dir = folder()
    const sink = createSink()
    sink.isAway = true
    const spool = open({ dir, drain: sink.drain })
    await spool.start()
    for (let i = 0; i < 1_000; i += 100) await Promise.all(records(ids(100, i)).map((record) => spool.append(record)))
    for (const stop of [200, 500, 1_000]) {
      sink.isAway = false
      spool.wake()
      await until(() => sink.taken.length >= stop, `${stop} are taken`)
      sink.isAway = stop < 1_000
    }
    expect(sink.taken).toEqual(ids(1_000))
    await until(() => segmentsIn(dir).length === 0, 'the segments are removed')
    await until(() => !spool.stats().draining, 'it rests')
    expect(spool.stats()).toEqual({ events: 0, bytes: 0, limit: 64 * 1024 ** 2, oldestAgeMs: 0, draining: false })
  })

  it('acknowledges nothing more where it only looked dead and its folder was taken, until it has another', async () => {
    const dir = folder()
    const [theirs, ours] = [createSink(), createSink()]
    theirs.isAway = true
    const owner = open({ dir, drain: theirs.drain })
    await owner.start()
    await Promise.all(records(ids(3)).map((record) => owner.append(record)))
    for (const file of readdirSync(dir, { recursive: true }) as string[])
      if (basename(file) === 's') rmSync(join(dir, file))
    const adopter = open({ dir, drain: ours.drain, adoptMs: 20 })
    await adopter.start()
    await until(() => ours.taken.length === 3, 'its records are handed over')
    await expect(owner.append(Buffer.from('r3'))).rejects.toMatchObject({ code: 'spool-unavailable' })
    expect(ours.taken).toEqual(ids(3))
  })

  it('tries again by itself, with one record as long as the store is away', async () => {
    const sink = createSink()
    sink.isAway = true
    let now = 1_000
    const spool = open({ dir: folder(), drain: sink.drain, now: () => now })
    await spool.start()
    await Promise.all(records(ids(5)).map((record) => spool.append(record)))
    await until(() => sink.offered.length >= 7, 'two more tries')
    expect(sink.offered.slice(0, 7)).toEqual([...ids(5), 'r0', 'r0'])
    now = 4_000
    expect(spool.stats()).toMatchObject({ events: 5, oldestAgeMs: 3_000, draining: false })
    sink.isAway = false
    await until(() => sink.taken.length === 5, 'it came back')
    expect(sink.taken).toEqual(ids(5))
  })

  it('sets aside what is refused for good, tells no payload, and goes on', async () => {
    const dir = folder()
    const sink = createSink()
    sink.refusals.set('r1', new SyntaxError('Unexpected token in "r1 is secret"'))
    sink.refusals.set('r2', new MillraceError('invalid-payload', 'no such field'))
    const spool = open({ dir, drain: sink.drain })
    await spool.start()
    await Promise.all(records(ids(5)).map((record) => spool.append(record)))
    await until(() => spool.stats().events === 0, 'all is drained')
    expect(sink.taken).toEqual(['r0', 'r3', 'r4'])
    expect(segmentsIn(join(dir, 'damaged'))).toHaveLength(2)
    expect(JSON.stringify(lines)).not.toContain('r1 is secret')
    expect(lines.map(({ fields }) => fields.why).sort()).toEqual(['SyntaxError', 'invalid-payload: no such field'])
  })

  it('goes on when even setting aside fails, and keeps the segment', async () => {
    const dir = folder()
    const sink = createSink()
    sink.refusals.set('r1', new Error('no'))
    writeFileSync(join(dir, 'damaged'), '')
    const spool = open({ dir, drain: sink.drain })
    await spool.start()
    await Promise.all(records(ids(5)).map((record) => spool.append(record)))
    await until(() => spool.stats().events === 0 && !spool.stats().draining, 'all is drained')
    expect(sink.taken).toEqual(['r0', 'r2', 'r3', 'r4'])
    expect(spool.stats().trouble).toContain('EEXIST')
    await spool.stop(soon())
    expect(segmentsIn(dir)).toHaveLength(1)

    rmSync(join(dir, 'damaged'))
    const next = open({ dir, drain: sink.drain })
    await next.start()
    await until(() => next.stats().events === 0 && !next.stats().draining, 'it comes again')
    expect(segmentsIn(dir)).toHaveLength(1)
    expect(segmentsIn(join(dir, 'damaged'))).toHaveLength(1)
  })
})
