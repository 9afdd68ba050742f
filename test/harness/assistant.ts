import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { apiKeys } from './app.ts'
import { type MillraceProcess, startMillrace } from './process.ts'
import { type Posted, type Providers, startProviders } from './providers.ts'
import { startRedis, type TestRedis } from './redis.ts'
import { freshId, post, slackSecret } from './slack.ts'
import { until } from './until.ts'

/* The assistant as it is run: real processes, two real stores, providers that are played. */

export type Rig = {
  readonly outside: Providers
  readonly queue: TestRedis
  readonly cache: TestRedis
  readonly main: MillraceProcess
  /** Another process on the same stores. */
  start(args: string[]): Promise<MillraceProcess>
  stop(): Promise<void>
}

export async function startRig(env: Record<string, string> = {}, args: string[] = []): Promise<Rig> {
  const [outside, queue, cache] = await Promise.all([
    startProviders(),
    startRedis(),
    startRedis({ 'maxmemory-policy': 'allkeys-lru', appendonly: 'no' }),
  ])
  const folder = mkdtempSync(join(tmpdir(), 'millrace-assistant-'))
  const running: MillraceProcess[] = []
  const start = async (own: string[]) => {
    const all = {
      REDIS_URL: queue.url,
      CACHE_REDIS_URL: cache.url,
      DATA_DIR: folder,
      KEY_PREFIX: 'assistant',
      // A store that comes and goes is what is tested here, not how long a process waits for it when it stops.
      SHUTDOWN_GRACE: '5s',
      SLACK_SIGNING_SECRET: slackSecret,
      API_KEYS: apiKeys,
      ...outside.env,
      ...env,
    }
    const started = await startMillrace(all, own)
    running.push(started)
    return started
  }
  const clear = async () => {
    // By SIGTERM, so that what they have started ends with them.
    await Promise.all(running.map((one) => one.kill('SIGTERM')))
    await Promise.all([outside.stop(), queue.stop(), cache.stop()])
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
  }
  try {
    return { outside, queue, cache, main: await start(args), start, stop: clear }
  } catch (error) {
    await clear()
    throw error
  }
}

let serial = 0

export type Said = {
  readonly event: string
  readonly channel: string
  readonly thread: string
  /** What the assistant has said in the thread since, without whom it was for. */
  replies(): string[]
  /** The n-th thing it says there. */
  reply(n?: number): Promise<string>
}

/** Says something to the assistant; resolves when Slack's event is acknowledged. Throws unless that is with a 200. */
export async function mentionIn(
  { main, outside }: Pick<Rig, 'main' | 'outside'>,
  text: string,
  {
    team = 'T1',
    channel = 'C1',
    thread,
    event = freshId(),
  }: Partial<Record<'team' | 'channel' | 'thread' | 'event', string>> = {},
): Promise<Said> {
  serial += 1
  const ts = `${Math.floor(Date.now() / 1_000)}.${String(serial).padStart(6, '0')}`
  const body = {
    type: 'event_callback',
    team_id: team,
    event_id: event,
    event: {
      type: 'app_mention',
      user: 'U1',
      channel,
      ts,
      event_ts: ts,
      text: `<@UBOT> ${text}`,
      ...(thread ? { thread_ts: thread } : {}),
    },
  }
  const response = await post(main.url, JSON.stringify(body))
  if (response.status !== 200) throw new Error(`the event was answered with ${response.status}`)
  const first = thread ?? ts
  const isHere = (one: Posted) => one.channel === channel && one.thread_ts === first
  const replies = () => outside.posted.filter(isHere).map((one) => one.text.replace('<@U1> ', ''))
  return {
    event,
    channel,
    thread: first,
    replies,
    reply: (n = 1) => until(() => replies()[n - 1], `reply ${n} to “${text}”:\n${main.output()}`, 30_000),
  }
}
