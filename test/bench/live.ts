import { readFileSync } from 'node:fs'
import { createStore } from '../../src/live/messages.ts'
import { keys } from '../../src/redis/keys.ts'
import { until } from '../harness/until.ts'
import { countCpu } from './cpu.ts'
import type { ListenOrder, ListenResult } from './listeners.ts'
import type { Comparison } from './report.ts'
import { alternate, type Figures, type Outcome, type Side } from './rounds.ts'
import { type Helper, type Measured, Stage } from './stage.ts'

const key = 'a-key-of-the-benchmark'
/** Each reaches all who listen: a message for a whole company, a few times a second. */
const perSecond = 4
const hearMs = 60_000

type Server = Measured & { readonly port: number }
type Way = {
  readonly path: string
  readonly server: Server
  readonly storePid: number
  readonly publish: (data: object) => Promise<unknown>
}

/** Many who listen to one process, all to the same: what each costs, and how late the last one hears it. */
export async function compareLive(
  stage: Stage,
  { rounds, seconds, listeners }: { rounds: number; seconds: number; listeners: number },
  onRun: (side: string, round: number, outcome: Outcome) => void,
): Promise<Comparison> {
  // Of its own for each run: memory that was once taken is not given back.
  const side = (name: string, start: (own: Stage) => Promise<Way>): Side => ({
    name,
    run: async () => {
      const own = new Stage()
      stage.atEnd(() => own.end())
      try {
        const { helper } = await own.helper('listeners', {})
        return await measure(helper, await start(own), { listeners, seconds })
      } finally {
        await own.end()
      }
    },
  })
  const plain = side('express + PUBLISH', naive)
  const ours = side('Millrace', millrace)
  return {
    name: 'live',
    title: `Live: ${listeners} clients of one process, ${perSecond} messages a second to all of them`,
    sides: [plain.name, ours.name],
    setting: { listeners, seconds, perSecond },
    metrics: [
      { key: 'memory', label: 'memory, KB/client', digits: 1 },
      { key: 'p50', label: 'delivered, p50, ms', digits: 1 },
      { key: 'p99', label: 'delivered, p99, ms', digits: 1 },
      { key: 'processCpu', label: 'server CPU, µs/delivery', digits: 1 },
      { key: 'connect', label: 'all are connected, s', digits: 1 },
    ],
    rounds: await alternate({ plain, ours }, rounds, onRun),
  }
}

async function naive(own: Stage): Promise<Way> {
  const store = await own.redis()
  const { helper, ready } = await own.helper('naive-live', { path: store.path })
  return {
    path: '/api/stream',
    server: { pid: helper.pid, port: (ready as { port: number }).port },
    storePid: store.pid(),
    publish: (data) => store.client.publish('live', JSON.stringify({ topic: 'all.hands', data })),
  }
}

async function millrace(own: Stage): Promise<Way> {
  const store = await own.redis()
  const server = await own.millrace({
    ROLES: 'http',
    REDIS_URL: store.url,
    LIVE_CLIENTS: '100000',
    API_KEYS: JSON.stringify([{ key, name: 'bench', role: 'viewer' }]),
  })
  const publish = createStore(store.client, keys.live('millrace'))
  return {
    path: '/api/stream?topic=all.*',
    server,
    storePid: store.pid(),
    publish: (data) => publish(undefined, 'all.hands', data),
  }
}

async function measure(
  clients: Helper,
  { path, server, storePid, publish }: Way,
  { listeners, seconds }: { listeners: number; seconds: number },
): Promise<Figures> {
  // One of them first, so that what is loaded with the first request is not the clients' share.
  const order: ListenOrder = { port: server.port, path, key, count: 1 }
  await clients.ask(order)
  const before = residentKb(server.pid)
  const began = performance.now()
  await clients.ask({ ...order, count: listeners - 1 })
  const connect = (performance.now() - began) / 1_000
  const memory = (residentKb(server.pid) - before) / (listeners - 1)

  const cpu = countCpu({ process: server.pid, store: storePid, helpers: [clients.pid] })
  const messages = Math.ceil(seconds * perSecond)
  for (let i = 0; i < messages; i += 1) {
    await publish({ sentAt: performance.timeOrigin + performance.now(), text: 'x'.repeat(100) })
    await new Promise((resolve) => setTimeout(resolve, 1_000 / perSecond))
  }
  const wanted = messages * listeners
  await until(async () => Number(await clients.ask('heard')) >= wanted, 'everybody has heard everything', hearMs)
  const { processCpu, otherCores } = cpu(wanted)
  const { heard, p50, p99, lost } = (await clients.ask('result')) as ListenResult
  await clients.ask('leave')
  if (heard !== wanted || lost > 0) throw new Error(`${wanted} deliveries were due, ${heard} came; ${lost} hung up`)
  return { deliveries: heard, memory, p50, p99, processCpu, connect, otherCores }
}

function residentKb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1])
}
