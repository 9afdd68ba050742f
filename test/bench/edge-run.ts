import type { TestRedis } from '../harness/redis.ts'
import { countCpu } from './cpu.ts'
import { queueName, signingSecret } from './events.ts'
import type { LoadResult } from './load.ts'
import type { Order } from './requests.ts'
import { empty, type Figures, type Side } from './rounds.ts'
import type { Helper, Measured, Stage } from './stage.ts'

/** What the comparisons of the edge have in common. */

export type EdgeSettings = { readonly rounds: number; readonly seconds: number; readonly connections: number }
export type Server = Measured & { readonly port: number }
/** One side with a store. */
export type Edge = { readonly server: Server; readonly store: TestRedis }

/** More than the quickest side answers; a run that gets through them ends early and is none the worse. */
const preparedPerSecond = 30_000

export function orderOf({ connections, seconds }: EdgeSettings): Omit<Order, 'port'> {
  return { connections, seconds, events: Math.ceil(preparedPerSecond * seconds) }
}

/** The product's edge, and a store of its own. */
export async function startOurs(stage: Stage, name?: string): Promise<Edge> {
  const store = await stage.redis()
  const env = { ROLES: 'http', REDIS_URL: store.url, SLACK_SIGNING_SECRET: signingSecret }
  return { store, server: await stage.millrace(env, name) }
}

/** Everything that is answered has to be in the store, which is empty at first. */
export function storedSide(
  name: string,
  { server, store }: Edge,
  { load, order, prefix }: { load: Helper; order: Omit<Order, 'port'>; prefix: string },
): Side {
  return {
    name,
    run: async () => {
      await empty(store.client)
      const figures = await measure(load, order, server, store.pid())
      const stored = await store.client.llen(`${prefix}:${queueName}:wait`)
      if (stored !== figures.events)
        throw new Error(`${figures.events} requests were acknowledged, ${stored} are stored`)
      return figures
    },
  }
}

/** Sends for some seconds. Throws unless every answer was a 200. */
export async function measure(
  load: Helper,
  order: Omit<Order, 'port'>,
  { pid, port }: Server,
  storePid?: number,
): Promise<Figures> {
  await load.ask({ ...order, port })
  const cpu = countCpu({ process: pid, store: storePid, helpers: [load.pid] })
  const result = (await load.ask('go')) as LoadResult
  const times = cpu(result.answered)
  if (result.errors > 0) throw new Error(`${result.errors} requests failed, the first with: ${result.firstError}`)
  return {
    events: result.answered,
    perSecond: result.answered / (result.elapsed / 1_000),
    p50: result.p50,
    p99: result.p99,
    max: result.max,
    ...times,
  }
}
