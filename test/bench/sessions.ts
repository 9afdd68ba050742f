import { pino } from 'pino'
import { changedSession, emptySession } from '../../src/policy/session.ts'
import { connect, untilReady } from '../../src/redis/store.ts'
import { HotSessions, hotTimeoutMs } from '../../src/sessions/hot.ts'
import type { TestRedis } from '../harness/redis.ts'
import { paced, quantile } from './paced.ts'
import type { Comparison } from './report.ts'
import { alternate, type Figures, type Outcome, type Side } from './rounds.ts'
import type { Stage } from './stage.ts'

/** What the guides ask for: so many conversations of 50 KB, of which the slowest read in a hundred takes less than 5 ms. */
const sessions = 10_000
const [messages, messageBytes] = [50, 960]
/** Reads a second: a conversation is read once for each message in it, so many people write at once to a large workspace. */
const rate = 500
const ttlMs = 86_400_000

/** A conversation out of the cache store beside a bare GETEX of the same text, with 10,000 of them in it. */
export async function compareSessions(
  stage: Stage,
  { rounds, seconds }: { rounds: number; seconds: number },
  onRun: (side: string, round: number, outcome: Outcome) => void,
): Promise<Comparison> {
  const open = async () => {
    // As the managed store of a machine that has the room.
    const store = await stage.redis({ appendonly: 'no', maxmemory: '1gb', 'maxmemory-policy': 'allkeys-lru' })
    const redis = connect({ host: '', port: 0, path: store.path, db: 0 }, 'producer', { timeoutMs: hotTimeoutMs })
    stage.atEnd(async () => redis.disconnect())
    await untilReady(redis)
    return { store, redis }
  }
  const [bare, own] = [await open(), await open()]
  const hot = new HotSessions({
    redis: own.redis,
    prefix: 'bench',
    ttlMs,
    log: pino({ level: 'silent' }),
    now: Date.now,
  })
  const placeOf = (n: number) => ({ tenant: 'T1', id: `slack:C1:${n}` })
  for (let n = 0; n < sessions; n++) {
    const session = conversation(n)
    await bare.redis.set(`session:${n}`, JSON.stringify(session), 'PX', ttlMs)
    await hot.put(placeOf(n), { session, stamp: n + 1 })
  }
  const side = (name: string, store: TestRedis, read: (n: number) => Promise<unknown>): Side => ({
    name,
    run: async () => {
      const figures = await measure(seconds, read)
      const evicted = Number(/evicted_keys:(\d+)/.exec(await store.client.info('stats'))?.[1])
      if (evicted > 0) throw new Error(`${evicted} conversations were evicted`)
      return figures
    },
  })
  const plain = side('bare GETEX', bare.store, (n) => bare.redis.getex(`session:${n}`, 'PX', ttlMs))
  const ours = side('Millrace', own.store, (n) => hot.get(placeOf(n)))
  return {
    name: 'sessions',
    title: `Sessions: ${rate} reads a second of ${sessions} conversations of 50 KB (aim: p99 below 5 ms, none evicted)`,
    sides: [plain.name, ours.name],
    setting: { sessions, messages, messageBytes, rate, seconds },
    metrics: [
      { key: 'p50', label: 'p50, ms', digits: 2 },
      { key: 'p99', label: 'p99, ms', digits: 2 },
    ],
    rounds: await alternate({ plain, ours }, rounds, onRun),
  }
}

function conversation(n: number) {
  const text = `${n} `.repeat(messageBytes).slice(0, messageBytes)
  const said = Array.from({ length: messages }, (_, i) => ({ role: i % 2 ? 'assistant' : 'user', text }) as const)
  return changedSession(emptySession(`slack:C1:${n}`, 'T1', 'U1', Date.now()), { messages: said }, { now: Date.now() })
}

async function measure(seconds: number, read: (n: number) => Promise<unknown>): Promise<Figures> {
  const latencies = await paced(rate, seconds, async () => {
    const asked = performance.now()
    if (!(await read(Math.floor(Math.random() * sessions)))) throw new Error('a conversation was not there')
    return performance.now() - asked
  })
  return { events: latencies.length, p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) }
}
