import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { basename, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { built } from '../harness/process.ts'
import { createSink, createSpools, empty, segmentsIn, soon } from '../harness/spool.ts'
import { until } from '../harness/until.ts'

/* What the spool promises is about ends that nobody announces: kill -9, and a full disk. */

const { folder, open, leaveSegment, drainAll, cleanUp, onCleanUp } = createSpools()
afterEach(cleanUp)

/** A process that appends without end; `wrap` goes before its command. */
function startChild(dir: string, args: string[] = [], wrap: string[] = []) {
  const file = built('../test/ingest/spool-child.js')
  const [command = '', ...rest] = [...wrap, process.execPath, file, dir, ...args]
  const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk
  })
  const ended = once(child, 'close')
  onCleanUp(() => void child.kill('SIGKILL'))
  return {
    child,
    output: () => output,
    acknowledged: () => [...output.matchAll(/^ok (\S+)\n/gm)].map(([, id]) => id as string),
    took: () => [...output.matchAll(/^took (\S+)\n/gm)].map(([, id]) => id as string),
    refused: () => [...output.matchAll(/^no \S+ (\d+)\n/gm)].map(([, ms]) => Number(ms)),
    kill: () => {
      child.kill('SIGKILL')
      return ended
    },
  }
}

describe('kill -9', () => {
  it('loses nothing that was acknowledged, in ten rounds', async () => {
    const dir = folder()
    for (let round = 0; round < 10; round++) {
      const one = startChild(dir, [`${round}-`, '3000'])
      await until(() => one.acknowledged().length > 30 + round * 60, 'some are acknowledged')
      await one.kill()
      const taken = await drainAll(dir)
      expect(new Set(taken).size).toBe(taken.length)
      expect(one.acknowledged().filter((id) => !taken.includes(id))).toEqual([])
      expect(taken.filter((id) => !id.startsWith(`${round}-`))).toEqual([])
      expect(readdirSync(dir)).toEqual([])
    }
  })

  it('leaves its folder to the living, who take no living one', async () => {
    const dir = folder()
    const sink = createSink()
    const spool = open({ dir, drain: sink.drain, adoptMs: 20 })
    await spool.start()
    const [one, two] = [startChild(dir, ['one-']), startChild(dir, ['two-'])]
    await until(() => one.acknowledged().length > 100 && two.acknowledged().length > 100, 'both have appended')
    // Not even one that does not get to answer.
    two.child.kill('SIGSTOP')
    expect(sink.offered).toEqual([])
    await one.kill()
    await until(() => one.acknowledged().every((id) => sink.taken.includes(id)), 'those of the dead one come')
    await empty(spool)
    expect(sink.offered.filter((id) => id.startsWith('two-'))).toEqual([])
    await two.kill()
    await until(() => two.acknowledged().every((id) => sink.taken.includes(id)), 'those of the other come too')
  })

  it('has its folder adopted by one of several spools only', async () => {
    const dir = folder()
    for (let round = 0; round < 5; round++) {
      const dead = startChild(dir, [`${round}-`])
      await until(() => dead.acknowledged().length > 200, 'some are acknowledged')
      await dead.kill()
      const sinks = Array.from({ length: 4 }, createSink)
      const spools = sinks.map(({ drain }) => open({ dir, drain }))
      await Promise.all(spools.map((spool) => spool.start()))
      await Promise.all(spools.map(empty))
      const taken = sinks.flatMap((sink) => sink.taken)
      expect(new Set(taken).size).toBe(taken.length)
      expect(dead.acknowledged().filter((id) => !taken.includes(id))).toEqual([])
      await Promise.all(spools.map((spool) => spool.stop(soon())))
    }
  })

  it('has its folder adopted by one of several processes only', async () => {
    const dir = folder()
    const takers = [1, 2, 3].map(() => startChild(dir, ['', '0']))
    await until(() => takers.every((taker) => taker.output() !== ''), 'they look for dead ones')
    for (let round = 0; round < 5; round++) {
      const dead = startChild(dir, [`${round}-`])
      await until(() => dead.acknowledged().length > 200, 'some are acknowledged')
      await dead.kill()
      await until(() => segmentsIn(dir).length === 0, 'all is drained')
      const taken = () => takers.flatMap((taker) => taker.took()).filter((id) => id.startsWith(`${round}-`))
      await until(() => dead.acknowledged().every((id) => taken().includes(id)), 'all have come')
      expect(new Set(taken()).size).toBe(taken().length)
    }
  })

  it('before it had a folder leaves nothing for long', async () => {
    const dir = folder()
    for (const name of ['.new-aaaaaaaaaaaa', '.new-bbbbbbbbbbbb', 'not-ours']) mkdirSync(join(dir, name))
    utimesSync(join(dir, '.new-aaaaaaaaaaaa'), 0, 0)
    await drainAll(dir)
    expect(readdirSync(dir).sort()).toEqual(['.new-bbbbbbbbbbbb', 'not-ours'])
  })

  it('is not the only way to lose a folder: removed by hand, it is made again', async () => {
    const dir = folder()
    const sink = createSink()
    sink.isAway = true
    const spool = open({ dir, drain: sink.drain, adoptMs: 20 })
    await spool.start()
    await spool.append(Buffer.from('gone'))
    const [name = ''] = readdirSync(dir)
    rmSync(join(dir, name), { recursive: true })
    await until(() => readdirSync(dir).includes(name), 'it is back')
    sink.isAway = false
    await spool.append(Buffer.from('kept'))
    await until(() => sink.taken.includes('kept'), 'it works')
  })

  it('in the middle of an adoption leaves what can be adopted again', async () => {
    const dir = folder()
    const segment = await leaveSegment(dir, ['r0', 'r1'])
    const dead = join(dir, 'aaaaaaaaaaaa', 'bbbbbbbbbbbb', 'cccccccccccc')
    mkdirSync(dead, { recursive: true })
    copyFileSync(segment, join(dead, basename(segment).replace(/-.*/, '-cccccccccccc.segment')))
    expect(await drainAll(dir)).toEqual(['r0', 'r1', 'r0', 'r1'])
    expect(readdirSync(dir)).toEqual([])
  })

  it('works in a folder whose path is too long for a socket', async () => {
    const dir = folder(join('a'.repeat(100), 'b'.repeat(100)))
    const one = startChild(dir, ['deep-'])
    await until(() => one.acknowledged().length > 20, 'some are acknowledged')
    const sink = createSink()
    const spool = open({ dir, drain: sink.drain, adoptMs: 20 })
    await spool.start()
    expect(sink.offered).toEqual([])
    await one.kill()
    await until(() => one.acknowledged().every((id) => sink.taken.includes(id)), 'they come')
  })

  it('does not take for dead who only refuses to be asked', async () => {
    const dir = folder()
    const segment = await leaveSegment(dir, ['r0'])
    const owner = join(segment, '..')
    const server = createServer()
    server.listen(join(owner, 's'))
    await once(server, 'listening')
    onCleanUp(() => void server.close())
    const sink = createSink()
    const spool = open({ dir, drain: sink.drain })
    await spool.start()
    expect(spool.stats().events).toBe(0)
    expect(segmentsIn(dir)).toEqual([segment])
  })
})

describe('a full disk', () => {
  it.runIf(process.platform === 'linux')('refuses in time, as real limits have it, and works again', async () => {
    const dir = folder()
    const one = startChild(dir, ['r', '3000'], ['prlimit', '--fsize=300000'])
    await until(() => one.refused().length > 3, 'the limit was met several times')
    const count = one.acknowledged().length
    await until(() => one.acknowledged().length > count + 100, 'it went on')
    await one.kill()
    expect(Math.max(...one.refused())).toBeLessThan(2_000)
    const taken = await drainAll(dir)
    expect(one.acknowledged().filter((id) => !taken.includes(id))).toEqual([])
  })

  it.runIf(canMount())('refuses in time and leaves no litter; works as soon as there is room', async () => {
    const dir = folder()
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', dir])
    onCleanUp(() => void execFileSync('umount', ['-l', dir]))
    writeFileSync(join(dir, 'other'), Buffer.alloc(300_000))
    const one = startChild(dir, ['r', '3000'])
    await until(() => one.refused().length > 200, 'the disk is full')
    expect(Math.max(...one.refused())).toBeLessThan(2_000)
    expect(segmentsIn(dir).length).toBeLessThan(20)
    const count = one.acknowledged().length
    rmSync(join(dir, 'other'))
    await until(() => one.acknowledged().length > count + 50, 'it took the room')
    await one.kill()
    const taken = await drainAll(dir)
    expect(one.acknowledged().filter((id) => !taken.includes(id))).toEqual([])
  })
})

function canMount(): boolean {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return false
  const dir = folder()
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', dir], { stdio: 'ignore' })
    execFileSync('umount', [dir])
    return true
  } catch {
    return false
  }
}
