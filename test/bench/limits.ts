import { pino } from 'pino'
import { Limiter } from '../../src/limits/limiter.ts'
import { createMetrics } from '../../src/observe/metrics.ts'
import { connect, untilReady } from '../../src/redis/store.ts'
import type { TestRedis } from '../harness/redis.ts'
import { countCpu } from './cpu.ts'
import type { Comparison } from './report.ts'
import { alternate, empty, type Figures, type Outcome, type Side } from './rounds.ts'
import type { Stage } from './stage.ts'

const concurrency = 50
/** Limits that are asked for at the same time: of a few tenants, and of so many that hardly two callers share one. */
const [few, many] = [10, 1_000]
/** So high that every call passes and is remembered, which is what costs most. */
const rule = { max: 100_000, per: '1m' } as const

type Call = (tenant: number) => Promise<unknown>

/** An exact limit beside a bare INCR, which is the least that counting costs: one connection, as many callers. */
export async function compareLimits(
  stage: Stage,
  { rounds, events: calls }: { rounds: number; events: number },
  onRun: (side: string, round: number, outcome: Outcome) => void,
): Promise<Comparison> {
  const side = async (name: string, callOf: (redis: ReturnType<typeof connect>) => Call): Promise<Side> => {
    const store = await stage.redis({ appendonly: 'no' })
    const redis = connect({ host: '', port: 0, path: store.path, db: 0 }, 'producer')
    stage.atEnd(async () => redis.disconnect())
    await untilReady(redis)
    const call = callOf(redis)
    return {
      name,
      run: async () => {
        await empty(store.client)
        const spread = await measure(store, call, many, calls)
        return { ...(await measure(store, call, few, calls)), spread: spread.perSecond }
      },
    }
  }
  const plain = await side('bare INCR', (redis) => (tenant) => redis.incr(`count:T${tenant}`))
  const ours = await side('limits.take', (redis) => {
    let isAlone = false
    // Its words are about one thing only; a process that counts for itself would be fast for the wrong reason.
    const write = () => {
      isAlone = true
    }
    const log = pino({ level: 'warn' }, { write })
    const limiter = new Limiter({ redis, prefix: 'bench', log, metrics: createMetrics(), patienceMs: 10_000 })
    return async (tenant) => {
      const { ok } = await limiter.of(`T${tenant}`).take('tool', rule)
      if (!ok || isAlone) throw new Error(isAlone ? 'the store did not count' : 'refused below the limit')
    }
  })
  return {
    name: 'limits',
    title: `Limits: ${calls} calls by ${concurrency} callers on one connection, beside a bare INCR`,
    sides: [plain.name, ours.name],
    setting: { calls, concurrency, few, many, rule },
    metrics: [
      { key: 'perSecond', label: `calls/s, ${few} tenants`, digits: 0, aim: { atLeast: 0.7 } },
      { key: 'spread', label: `calls/s, ${many} tenants`, digits: 0 },
      { key: 'processCpu', label: `CPU of the callers, µs/call, ${few} tenants`, digits: 1 },
      { key: 'storeCpu', label: `redis-server CPU, µs/call, ${few} tenants`, digits: 1 },
    ],
    rounds: await alternate({ plain, ours }, rounds, onRun),
  }
}

async function measure(store: TestRedis, call: Call, tenants: number, calls: number): Promise<Figures> {
  const cpu = countCpu({ process: process.pid, store: store.pid(), helpers: [] })
  const began = performance.now()
  let made = 0
  const caller = async () => {
    while (made < calls) {
      made += 1
      await call(made % tenants)
    }
  }
  await Promise.all(Array.from({ length: concurrency }, caller))
  const perSecond = (calls * 1_000) / (performance.now() - began)
  return { perSecond, ...cpu(calls) }
}
