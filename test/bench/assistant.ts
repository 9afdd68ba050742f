import { Agent, request } from 'node:http'
import { until } from '../harness/until.ts'
import { eventId, eventTime, signature, signingSecret } from './events.ts'
import { paced, quantile } from './paced.ts'
import type { Told } from './providers.ts'
import type { Comparison } from './report.ts'
import { alternate, type Outcome, type Side } from './rounds.ts'
import type { Helper, Stage } from './stage.ts'

/** Questions a second: many for people, and less than a machine of two cores can answer while it is measured. */
const rate = 50
/** Longer than a run, so that what hangs does so all the time. */
const toolTimeout = '40s'
const patienceMs = 120_000

/** What Slack notices of tools that hang: the edge's answers to questions, workers in the same process and in another. */
export async function compareAssistant(
  stage: Stage,
  { rounds, seconds }: { rounds: number; seconds: number },
  onRun: (side: string, round: number, outcome: Outcome) => void,
): Promise<Comparison> {
  const start = async (isApart: boolean) => {
    const { helper: outside, ready } = await stage.helper('providers', {})
    // A disk that takes 100 ms for an fsync now and then would be all that the p99 tells of (seen: ratios from 0.02 to 20).
    const [store, cache] = [await stage.redis({ appendfsync: 'no' }), await stage.redis({ appendfsync: 'no' })]
    const env = {
      ...(ready as Record<string, string>),
      REDIS_URL: store.url,
      CACHE_REDIS_URL: cache.url,
      DATA_DIR: stage.folder(),
      SLACK_SIGNING_SECRET: signingSecret,
      TOOL_TIMEOUT: toolTimeout,
    }
    if (!isApart) return { outside, server: await stage.millrace(env, 'assistant') }
    const server = await stage.millrace({ ...env, ROLES: 'http' }, 'assistant-edge')
    // With an address of its own, by which it is known to be ready; nobody asks it anything.
    await stage.millrace(env, 'assistant-worker')
    return { outside, server }
  }
  const together = await start(false)
  const apart = await start(true)
  const side = (name: string, hangs: boolean): Side => ({
    name,
    run: async () => {
      const one = await measure(together, hangs, seconds)
      const two = await measure(apart, hangs, seconds)
      return { events: one.sent + two.sent, p50: one.p50, p99: one.p99, p50Apart: two.p50, p99Apart: two.p99 }
    },
  })
  const plain = side('tools answer at once', false)
  const ours = side('tools hang', true)
  return {
    name: 'assistant',
    title: `Assistant: ${rate} questions a second to Slack's edge, each of which asks a tool (appendfsync no)`,
    sides: [plain.name, ours.name],
    setting: { rate, seconds },
    metrics: [
      { key: 'p50', label: 'p50, ms, workers in the same process', digits: 1 },
      { key: 'p99', label: 'p99, ms, workers in the same process', digits: 1, aim: { atMost: 1.1 } },
      { key: 'p50Apart', label: 'p50, ms, workers in another', digits: 1 },
      { key: 'p99Apart', label: 'p99, ms, workers in another', digits: 1, aim: { atMost: 1.1 } },
    ],
    rounds: await alternate({ plain, ours }, rounds, onRun),
  }
}

let serial = 1

type Running = { readonly outside: Helper; readonly server: { readonly port: number } }

async function measure({ outside, server }: Running, hangs: boolean, seconds: number) {
  const tell = (told: Told) => outside.ask(told) as Promise<number>
  const before = await tell(hangs ? { behave: { hangs: true } } : 'well')
  const agent = new Agent({ keepAlive: true })
  const latencies = await paced(rate, seconds, () => ask(server.port, agent))
  agent.destroy()
  await tell('well')
  await until(async () => (await tell('posted')) >= before + latencies.length, 'all are answered', patienceMs)
  return { sent: latencies.length, p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99) }
}

/** A question of an organization of its own, so that no cache has the answer; milliseconds until it is acknowledged. */
function ask(port: number, agent: Agent): Promise<number> {
  const n = serial++
  const [id, ts] = [eventId(n), eventTime(n)]
  const event = { type: 'app_mention', user: 'U1', channel: 'C1', ts, event_ts: ts, text: '<@UBOT> my tasks' }
  const body = JSON.stringify({ type: 'event_callback', team_id: `T${n}`, event_id: id, event })
  const timestamp = Math.floor(Date.now() / 1_000)
  const headers = {
    'Content-Type': 'application/json',
    'Content-Length': Buffer.byteLength(body),
    'X-Slack-Request-Timestamp': timestamp,
    'X-Slack-Signature': signature(timestamp, body),
  }
  return new Promise((resolve, reject) => {
    const sentAt = performance.now()
    const sent = request(
      { host: '127.0.0.1', port, path: '/hooks/slack', method: 'POST', agent, headers },
      (answer) => {
        if (answer.statusCode !== 200) reject(new Error(`the edge answered ${answer.statusCode}`))
        answer.resume().once('end', () => resolve(performance.now() - sentAt))
      },
    )
    sent.once('error', reject)
    sent.end(body)
  })
}
