import { type EdgeSettings, orderOf, startOurs, storedSide } from './edge-run.ts'
import { jobOptions } from './events.ts'
import type { Comparison } from './report.ts'
import { alternate, type Outcome } from './rounds.ts'
import type { Stage } from './stage.ts'

/** Signed requests in, jobs in the store, answers out. */
export async function compareEdge(
  stage: Stage,
  settings: EdgeSettings,
  onRun: (side: string, round: number, outcome: Outcome) => void,
): Promise<Comparison> {
  const { rounds, seconds, connections } = settings
  const { helper: load } = await stage.helper('load', {})
  const order = orderOf(settings)
  const store = await stage.redis()
  const naive = await stage.helper('naive-edge', { path: store.path }, true)
  const server = { pid: naive.helper.pid, port: (naive.ready as { port: number }).port }

  const plain = storedSide('Express + queue.add', { server, store }, { load, order, prefix: 'bull' })
  const ours = storedSide('Millrace', await startOurs(stage), { load, order, prefix: 'millrace' })
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
