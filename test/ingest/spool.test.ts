import { existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { type FileHandle, open as openFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { OpenFile } from '../../src/ingest/spool/segment.ts'
import { createSink, createSpools, segmentsIn, soon } from '../harness/spool.ts'
import { until } from '../harness/until.ts'

const { folder, open, cleanUp, lines } = createSpools()
afterEach(cleanUp)

const ids = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `r${from + i}`)
const records = (names: readonly string[]) => names.map((name) => Buffer.from(name))

/** A disk of which single calls can be seen, refused and held up. */
function createDisk(on: { [K in 'write' | 'datasync']?: (go: () => Promise<unknown>) => Promise<unknown> } = {}) {
  const calls: string[] = []
  const spied: OpenFile = async (...args) => {
    const handle = await openFile(...args)
    return new Proxy(handle, {
      get(target, name) {
        const method = Reflect.get(target, name) as unknown
        if (typeof method !== 'function') return method
        return (...more: unknown[]) => {
          calls.push(String(name))
          const go = () => Promise.resolve(method.apply(target, more) as unknown)
          const hook = name === 'write' || name === 'datasync' ? on[name] : undefined
          return hook ? hook(go) : go()
        }
      },
    }) as FileHandle
  }
  return { openFile: spied, calls, count: (name: string) => calls.filter((call) => call === name).length }
}

describe('append', () => {
  it('writes what one turn brings with one write and one fdatasync, and what comes meanwhile with the next', async () => {
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const disk = createDisk({ datasync: (go) => held.then(go) })
    const sink = createSink()
    sink.isAway = true
    const spool = open({ dir: folder(), drain: sink.drain, openFile: disk.openFile, deadlineMs: 20_000 })
    await spool.start()

    const first = records(ids(50)).map((record) => spool.append(record))
    await until(() => disk.count('datasync') === 1, 'the first group is at its fdatasync')
    const second: Promise<void>[] = []
    for (const record of records(ids(50, 50))) {
      second.push(spool.append(record))
      await new Promise(setImmediate)
    }
    expect([disk.count('write'), disk.count('datasync')]).toEqual([1, 1])
    expect(await Promise.race([...first, ...second, Promise.resolve('none')])).toBe('none')
    release()
    await Promise.all([...first, ...second])
    expect([disk.count('write'), disk.count('datasync')]).toEqual([2, 2])
    expect(spool.stats()).toMatchObject({ events: 100, draining: false })
  })

  it('refuses at once what would exceed the limit, and takes it when there is room again', async () => {
    const sink = createSink()
    sink.isAway = true
    const spool = open({ dir: folder(), drain: sink.drain, limit: 10_000 })
    await spool.start()
    const results = await Promise.allSettled(ids(20).map((id) => spool.append(Buffer.from(id.padEnd(1_000)))))
    expect(results.map(({ status }) => status)).toEqual([...Array(9).fill('fulfilled'), ...Array(11).fill('rejected')])
    expect((results[9] as PromiseRejectedResult).reason).toMatchObject({ code: 'spool-unavailable', retryAfter: 10 })
    expect(spool.stats().bytes).toBeLessThanOrEqual(10_000)

    sink.isAway = false
    spool.wake()
    await until(() => spool.stats().bytes === 0, 'all is drained')
    await spool.append(Buffer.alloc(5_000))
  })

  it('takes nothing when it is off, and leaves no trace', async () => {
    const dir = folder('spool')
    const spool = open({ dir, drain: createSink().drain, limit: 0 })
    await spool.start()
    await expect(spool.append(Buffer.from('r'))).rejects.toMatchObject({ code: 'spool-unavailable' })
    expect(existsSync(dir)).toBe(false)
  })

  it('begins a new segment after 4 MB, and takes a record that is larger', async () => {
    const dir = folder()
    const sink = createSink()
    sink.isAway = true
    const spool = open({ dir, drain: sink.drain })
    await spool.start()
    for (const id of ids(3)) await spool.append(Buffer.from(id.padEnd(3 * 1024 ** 2)))
    await spool.append(Buffer.from('large '.padEnd(12 * 1024 ** 2)))
    await Promise.all(ids(5, 3).map((id) => spool.append(Buffer.from(id.padEnd(1024 ** 2)))))
    const sizes = segmentsIn(dir).map((path) => statSync(path).size)
    expect(sizes.filter((size) => size > 4 * 1024 ** 2)).toHaveLength(1)
    expect(statSync(segmentsIn(dir)[0] ?? '').mode & 0o777).toBe(0o600)
    expect(statSync(join(segmentsIn(dir)[0] ?? '', '..')).mode & 0o777).toBe(0o700)
    sink.isAway = false
    spool.wake()
    await until(() => spool.stats().events === 0, 'all is drained')
    expect(sink.taken).toEqual([...ids(3), 'large', ...ids(5, 3)])
  })

  it.each(['write', 'datasync'] as const)(
    'refuses the group whose %s fails, and never touches that file again',
    async (step) => {
      let isBroken = false
      const broken = () => Promise.reject(Object.assign(new Error('EIO: i/o error'), { code: 'EIO' }))
      const disk = createDisk({ [step]: (go: () => Promise<unknown>) => (isBroken ? broken() : go()) })
      const dir = folder()
      const sink = createSink()
      sink.isAway = true
      const spool = open({ dir, drain: sink.drain, openFile: disk.openFile })
      await spool.start()
      await Promise.all(records(ids(3)).map((record) => spool.append(record)))
      // The drain has sealed the first; this is the one that will fail.
      await spool.append(Buffer.from('r3'))
      const [, failing = ''] = segmentsIn(dir)
      const size = statSync(failing).size

      isBroken = true
      const refused = await Promise.allSettled([spool.append(Buffer.from('lost')), spool.append(Buffer.from('lost'))])
      expect(refused.map((result) => (result as PromiseRejectedResult).reason)).toEqual([
        expect.objectContaining({ code: 'spool-unavailable', retryAfter: 2 }),
        expect.objectContaining({ code: 'spool-unavailable' }),
      ])
      expect(spool.stats().trouble).toContain('EIO')
      await expect(spool.append(Buffer.from('lost'))).rejects.toThrow('EIO')

      isBroken = false
      await spool.append(Buffer.from('r4'))
      expect(spool.stats().trouble).toBeUndefined()
      expect(statSync(failing).size).toBe(size)
      expect(segmentsIn(dir)).toHaveLength(3)
      sink.isAway = false
      spool.wake()
      await until(() => spool.stats().events === 0, 'all is drained')
      expect(sink.taken).toEqual(ids(5))
      expect(lines.filter(({ level }) => level === 'error')).toHaveLength(1)
    },
  )

  it('refuses a write of which only a part went through', async () => {
    let isFull = true
    const disk = createDisk({ write: (go) => (isFull ? Promise.resolve({ bytesWritten: 7 }) : go()) })
    const spool = open({ dir: folder(), drain: createSink().drain, openFile: disk.openFile })
    await spool.start()
    await expect(spool.append(Buffer.from('r0'))).rejects.toMatchObject({ code: 'spool-unavailable', retryAfter: 10 })
    isFull = false
    await spool.append(Buffer.from('r1'))
  })

  it('answers at the deadline when the disk hangs, the next at once, and works on when it no longer does', async () => {
    let release = () => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const disk = createDisk({ datasync: (go) => held.then(go) })
    const sink = createSink()
    const spool = open({ dir: folder(), drain: sink.drain, openFile: disk.openFile, deadlineMs: 200 })
    await spool.start()
    const began = performance.now()
    const hung = spool.append(Buffer.from('late'))
    await until(() => disk.count('datasync') === 1, 'it hangs')
    const waiting = spool.append(Buffer.from('never'))
    await expect(hung).rejects.toMatchObject({ code: 'spool-unavailable' })
    await expect(waiting).rejects.toMatchObject({ code: 'spool-unavailable' })
    expect(performance.now() - began).toBeLessThan(2_000)
    const before = performance.now()
    await expect(spool.append(Buffer.from('never'))).rejects.toMatchObject({ code: 'spool-unavailable' })
    expect(performance.now() - before).toBeLessThan(200)
    release()
    await until(
      () =>
        spool.append(Buffer.from('after')).then(
          () => true,
          () => false,
        ),
      'it works again',
    )
    await until(() => sink.taken.includes('after'), 'it is drained')
    expect(sink.taken.filter((id) => id !== 'after')).toEqual(['late'])
  })
})

describe('start', () => {
  it('succeeds on a disk that refuses, says so, and works when it no longer does', async () => {
    const dir = folder('spool')
    writeFileSync(dir, 'in the way')
    const spool = open({ dir, drain: createSink().drain, adoptMs: 20 })
    await spool.start()
    expect(spool.stats().trouble).toContain('EEXIST')
    await expect(spool.append(Buffer.from('r'))).rejects.toMatchObject({ code: 'spool-unavailable' })
    rmSync(dir)
    await until(() => existsSync(dir), 'it is made')
    await until(
      () =>
        spool.append(Buffer.from('r')).then(
          () => true,
          () => false,
        ),
      'it works',
    )
    // It can be written before the look that made the folder has ended.
    await until(() => spool.stats().trouble === undefined, 'it says that nothing is wrong')
    expect(lines.filter(({ level }) => level === 'error').map(({ message }) => message)).toEqual([
      'spool: the folder failed',
      'spool: the disk failed',
    ])
  })
})

describe('stop', () => {
  it('leaves what is not drained to the next, and no folder when there is nothing', async () => {
    const dir = folder()
    const sink = createSink()
    sink.isAway = true
    const spool = open({ dir, drain: sink.drain })
    await spool.stop(soon())
    await spool.start()
    expect(spool.stats().events).toBe(0)
    const appended = records(ids(300)).map((record) => spool.append(record))
    await spool.stop(soon())
    await spool.stop(soon())
    await Promise.all(appended)
    await expect(spool.append(Buffer.from('late'))).rejects.toMatchObject({ code: 'spool-unavailable' })
    sink.isAway = false

    const next = open({ dir, drain: sink.drain })
    await next.start()
    await until(() => next.stats().events === 0, 'all is drained')
    expect(sink.taken).toEqual(ids(300))
    await next.stop(soon())
    expect(readdirSync(dir)).toEqual([])
  })
})
