import type { TestRedis } from '../harness/redis.ts'
import { countCpu } from './cpu.ts'
import { jobOptions, queueName, signingSecret } from './events.ts'
import type { LoadResult } from './load.ts'
import type { Comparison } from './report.ts'
import type { Order } from './requests.ts'
import { alternate, empty, type Figures, type Outcome, type Side } from './rounds.ts'
import type { Helper, Measured, Stage } from './stage.ts'

/** More than any side answers; a run that gets through them ends early and is none the worse. */
const preparedPerSecond = 30_000

type Server = Measured & { readonly port: number }

/** Signed requests in, jobs in the store, answers out. */
export async function compareEdge(
  stage: Stage,
  { rounds, seconds, connections }: { rounds: number; seconds: number; connections: number },
  onRun: (side: string, round: number, outcome: Outcome) => void,
): Promise<Comparison> {
  const { helper: load } = await stage.helper('load', {})
  const order = { connections, seconds, events: Math.ceil(preparedPerSecond * seconds) }

  const plainStore = await stage.redis()
  const naive = await stage.helper('naive-edge', { path: plainStore.path }, true)
  const plainServer = { pid: naive.helper.pid, port: (naive.ready as { port: number }).port }
  const ourStore = await stage.redis()
  const env = { ROLES: 'http', REDIS_URL: ourStore.url, SLACK_SIGNING_SECRET: signingSecret }
  const ourServer = await stage.millrace(env)

  const side = (name: string, server: Server, store: TestRedis, prefix: string): Side => ({
    name,
    run: async () => {
      await empty(store.client)
      return measure(load, { ...order, port: server.port }, server, store, `${prefix}:${queueName}:wait`)
    },
  })
  const plain = side('Express + queue.add', plainServer, plainStore, 'bull')
  const ours = side('Millrace', ourServer, ourStore, 'millrace')
  return {
    name: 'edge',
    title: `Edge: signed Slack events of 1 KB over ${connections} connections, answered when stored`,
    sides: [plain.name, ours.name],
    setting: { connections, seconds, jobOptions },
    metrics: [
      { key: 'perSecond', label: 'events/s', digits: 0, aim: { atLeast: 3 } },
      { key: 'p50', label: 'p50, ms', digits: 1 },
      { key: 'p99', label: 'p99, ms', digits: 1, aim: { atMost: 0.5 } },
      { key: 'processCpu', label: 'server CPU, µs/event', digits: 0 },
      { key: 'storeCpu', label: 'redis-server CPU, µs/event', digits: 0 },
    ],
    rounds: await alternate({ plain, ours }, rounds, onRun),
  }
}

async function measure(load: Helper, order: Order, server: Server, store: TestRedis, wait: string): Promise<Figures> {
  await load.ask(order)
  const cpu = countCpu({ process: server.pid, store: store.pid(), helpers: [load.pid] })
  const result = (await load.ask('go')) as LoadResult
  const times = cpu(result.answered)
  if (result.errors > 0) throw new Error(`${result.errors} requests failed, the first with: ${result.firstError}`)
  const stored = await store.client.llen(wait)
  if (stored !== result.answered) throw new Error(`${result.answered} requests were acknowledged, ${stored} are stored`)
  return {
    events: result.answered,
    perSecond: result.answered / (result.elapsed / 1_000),
    p50: result.p50,
    p99: result.p99,
    max: result.max,
    ...times,
  }
}
