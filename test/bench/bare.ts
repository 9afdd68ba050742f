import { type EdgeSettings, measure, orderOf, startOurs, storedSide } from './edge-run.ts'
import type { Comparison } from './report.ts'
import { alternate, type Outcome, type Side } from './rounds.ts'
import type { Stage } from './stage.ts'

/** What storing costs: our edge against a server that checks signatures, answers, and keeps nothing. */
export async function compareBare(
  stage: Stage,
  settings: EdgeSettings,
  onRun: (side: string, round: number, outcome: Outcome) => void,
): Promise<Comparison> {
  const { rounds, seconds, connections } = settings
  const { helper: load } = await stage.helper('load', {})
  const order = orderOf(settings)
  const { helper, ready } = await stage.helper('bare-edge', {}, true)
  const server = { pid: helper.pid, port: (ready as { port: number }).port }

  const plain: Side = { name: 'node:http + HMAC, no queue', run: () => measure(load, order, server) }
  const ours = storedSide('Millrace', await startOurs(stage), { load, order, prefix: 'millrace' })
  return {
    name: 'bare',
    title: `Edge: the same events over ${connections} connections, against a server that stores nothing`,
    sides: [plain.name, ours.name],
    setting: { connections, seconds },
    metrics: [
      { key: 'perSecond', label: 'events/s', digits: 0, aim: { atLeast: 0.55 } },
      { key: 'p50', label: 'p50, ms', digits: 1 },
      { key: 'p99', label: 'p99, ms', digits: 1 },
      { key: 'processCpu', label: 'server CPU, µs/event', digits: 0 },
    ],
    rounds: await alternate({ plain, ours }, rounds, onRun),
  }
}
