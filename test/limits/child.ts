import { openLimiter } from './harness.ts'

/* A process among several that share limits: told how many calls, it makes them and says how many passed. */

const [path = '', prefix = ''] = process.argv.slice(2)
const concurrency = 50
const rules = [
  { max: 1_000, per: '1h' },
  { max: 50, per: '1h' },
  { max: 200, per: '1h', kind: 'bucket' },
] as const

// It waits for a machine that is busy: what is tested here is what the store says.
const { limiter, isAlone } = await openLimiter(path, prefix, { patienceMs: 60_000 })
process.on('message', async (calls: number) => {
  let [made, ok] = [0, 0]
  const caller = async () => {
    while (made < calls) {
      made += 1
      if ((await limiter.take({ scope: 'handler', tenant: 'T', name: 'tool' }, rules[0])).ok) ok += 1
      // Names beside it, so that batches are mixed and each key is seen in all of its states.
      if (made % 5 === 0) await limiter.take({ scope: 'handler', tenant: `T${made % 50}`, name: 'tool' }, rules[1])
      if (made % 7 === 0) await limiter.take({ scope: 'handler', tenant: `T${made % 70}`, name: 'tool' }, rules[2])
    }
  }
  await Promise.all(Array.from({ length: concurrency }, caller))
  process.send?.({ ok, isAlone: await isAlone() })
})
process.on('disconnect', () => process.exit())
process.send?.('ready')
