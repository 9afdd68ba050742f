import { until } from '../harness/until.ts'
import { type Edge, type EdgeSettings, measure, orderOf, startOurs, storedSide } from './edge-run.ts'
import { queueName } from './events.ts'
import type { Comparison } from './report.ts'
import { alternate, empty, type Outcome, type Side } from './rounds.ts'
import type { Stage } from './stage.ts'

/** Longer than the slowest machine needs to hand over what one run has spooled. */
const drainMs = 120_000

/** What our edge does while its store is away, against what it does while it is there. */
export async function compareSpool(
  stage: Stage,
  settings: EdgeSettings,
  onRun: (side: string, round: number, outcome: Outcome) => void,
): Promise<Comparison> {
  const { rounds, seconds, connections } = settings
  const { helper: load } = await stage.helper('load', {})
  const order = orderOf(settings)
  const plain = storedSide('store there', await startOurs(stage, 'store-there'), { load, order, prefix: 'millrace' })
  const alone = await startOurs(stage, 'store-away')
  const ours: Side = {
    name: 'store away',
    run: async () => {
      await empty(alone.store.client)
      await alone.store.kill()
      const figures = await measure(load, order, alone.server)
      const spooled = await spooledBy(alone)
      await alone.store.restart()
      if (spooled !== figures.events)
        throw new Error(`${figures.events} requests were acknowledged, ${spooled} are spooled`)
      await drained(alone, spooled)
      return figures
    },
  }
  return {
    name: 'spool',
    title: `Spool: the same events over ${connections} connections, Millrace with its store and without`,
    sides: [plain.name, ours.name],
    setting: { connections, seconds },
    metrics: [
      { key: 'perSecond', label: 'events/s', digits: 0 },
      { key: 'p50', label: 'p50, ms', digits: 1 },
      { key: 'p99', label: 'p99, ms', digits: 1 },
      { key: 'processCpu', label: 'server CPU, µs/event', digits: 0 },
    ],
    rounds: await alternate({ plain, ours }, rounds, onRun),
  }
}

/** How many events wait on the disk. */
async function spooledBy({ server }: Edge): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${server.port}/metrics`)).text()
  return Number(/^millrace_spool_events (\d+)$/m.exec(text)?.[1])
}

/** Resolves when the store, which is back, has each of them. */
async function drained(edge: Edge, events: number): Promise<void> {
  await until(async () => (await spooledBy(edge)) === 0, 'the spool is empty', drainMs)
  const stored = await edge.store.client.llen(`millrace:${queueName}:wait`)
  if (stored !== events) throw new Error(`${events} events were spooled, ${stored} of them came to the store`)
}
