import { describe, expect, it } from 'vitest'
import { Fleet } from './fleet.ts'
import { backWithinMs, runKills } from './kills.ts'

/*
 * Worker processes that are stopped or killed under load. Many more kills: npm run chaos -- --kills 50. Both at once, because
 * the second waits most of its time for locks to run out.
 */
const timeout = 180_000
const graceMs = 3_000

describe.concurrent('under 200 jobs a second, on two worker processes', () => {
  it('20 rolling restarts fail no job and spend no attempt, and each ends in time', { timeout }, async () => {
    const fleet = await Fleet.start({ grace: `${graceMs}ms` })
    try {
      const workers = [await fleet.startWorker(), await fleet.startWorker()]
      // Now and then one that lasts longer than a process has left.
      let isOver = false
      fleet.load(200, (n) => (isOver ? 'quick' : n % 200 === 50 ? 'long' : n % 200 === 150 ? 'stubborn' : 'quick'))
      const exits: Promise<{ code: number | string; ms: number; output: string }>[] = []
      for (let restart = 1; restart <= 20; restart += 1) {
        workers.push(await fleet.startWorker())
        const oldest = workers.shift()
        if (!oldest) throw new Error('there is no worker')
        const began = performance.now()
        exits.push(
          oldest.kill('SIGTERM').then((code) => ({ code, ms: performance.now() - began, output: oldest.output() })),
        )
      }
      const ended = await Promise.all(exits)
      // What the last two have in hand of the long ones comes back when they go as well.
      isOver = true
      for (const left of workers) {
        await fleet.startWorker()
        await left.kill('SIGTERM')
      }
      await fleet.finish(60_000)

      const wrong = ended.filter(({ code }) => code !== 0)
      expect(wrong.map(({ code, output }) => [code, output.slice(-2_000)])).toEqual([])
      expect(Math.max(...ended.map(({ ms }) => ms))).toBeLessThan(graceMs + 2_000)
      expect(await fleet.bull.getJobCountByTypes('failed')).toBe(0)
      // BullMQ counts the attempt that completes the job; a stall would mean that a lock had to run out.
      expect(new Set(await fleet.fields('atm'))).toEqual(new Set(['1']))
      expect(new Set(await fleet.fields('stc'))).toEqual(new Set([null]))
      const runs = [...fleet.runs().values()]
      expect(runs.filter((all) => all.filter(({ endedAt }) => endedAt !== undefined).length !== 1)).toEqual([])
      // It would prove nothing if nobody had been interrupted.
      const interrupted = runs.filter((all) => all.length > 1).length
      expect(interrupted).toBeGreaterThan(5)
      expect(ended.map(({ output }) => output).join('')).toContain('"outcome":"interrupted"')
    } finally {
      await fleet.end()
    }
  })

  it('kill -9 loses no job, and runs none twice that was not in hand', { timeout }, async () => {
    const account = await runKills({ kills: 6 })
    expect(account).toMatchObject({ unfinished: [], ranTwice: [] })
    expect(account.inHand).toBeGreaterThan(5)
    expect(account.longestAgainMs).toBeLessThan(backWithinMs)
  })
})
