import { createStore, type Store } from '../../src/live/messages.ts'
import { keys } from '../../src/redis/keys.ts'
import { startTestApp, type TestApp } from './app.ts'
import { type Heard, type Listener, listen } from './listen.ts'
import { startRedis, type TestRedis } from './redis.ts'
import { freshId } from './slack.ts'

/** Processes with one key prefix, a queue store, and a cache store of its own. */
export type LiveStage = {
  readonly queue: TestRedis
  readonly cache: TestRedis
  readonly apps: readonly TestApp[]
  readonly publish: Store
  /** Of the stream that messages are kept in. */
  readonly key: string
  metric(name: string): Promise<number>
  /** He goes from one process to the next, and leaves at the end at the latest. */
  follow(query: string): Follower
  end(): Promise<void>
}

export async function startLive({
  cache: conf = {},
  env = {},
  processes = 1,
}: {
  cache?: Record<string, string>
  env?: Record<string, string>
  processes?: number
} = {}): Promise<LiveStage> {
  const [queue, cache] = await Promise.all([startRedis(), startRedis(conf)])
  const prefix = freshId('live')
  const apps: TestApp[] = []
  const followers: Follower[] = []
  for (let i = 0; i < processes; i += 1)
    apps.push(
      await startTestApp(queue.url, {
        env: { CACHE_REDIS_URL: cache.url, KEY_PREFIX: prefix, LIVE_HEARTBEAT: '1s', ROLES: 'http', ...env },
      }),
    )
  return {
    queue,
    cache,
    apps,
    key: keys.live(prefix),
    publish: createStore(cache.client, keys.live(prefix)),
    metric: async (name) => {
      const text = await (await fetch(`${apps[0]?.url}/metrics`)).text()
      const line = text.split('\n').find((one) => one.startsWith(`${name} `))
      return Number(line?.split(' ').at(-1) ?? 0)
    },
    follow: (query) => {
      const follower = follow(
        apps.map(({ url }) => url),
        query,
      )
      followers.push(follower)
      return follower
    },
    end: async () => {
      for (const follower of followers) follower.leave()
      await Promise.all(apps.map((app) => app.close()))
      await Promise.all([queue.stop(), cache.stop()])
    },
  }
}

/** A browser waits for two seconds and more. */
const againMs = 50

/** One who comes back whenever the connection is lost, at the URL that it is its turn for. */
export type Follower = {
  readonly events: Heard[]
  readonly placed: Promise<void>
  /** As a network does. */
  cutOff(): void
  /** How often he has come back. */
  readonly returns: () => number
  leave(): void
}

export function follow(urls: readonly string[], query: string, key?: string): Follower {
  const events: Heard[] = []
  let current: Listener | undefined
  let hasLeft = false
  let turn = -1
  let lastId = ''
  let place = () => {}
  const placed = new Promise<void>((resolve) => {
    place = resolve
  })
  const run = async () => {
    while (!hasLeft) {
      turn += 1
      const url = urls[turn % urls.length] ?? ''
      const listener = await listen(url, query, { lastId, events, ...(key ? { key } : {}) }).catch(() => undefined)
      if (listener?.status !== 200) {
        // The process is not there, or about to stop.
        listener?.hangUp()
        await new Promise((resolve) => setTimeout(resolve, againMs))
        continue
      }
      current = listener
      void listener.placed.then(place)
      if (hasLeft) listener.hangUp()
      await listener.ended
      lastId = listener.lastId()
    }
  }
  void run()
  return {
    events,
    placed,
    cutOff: () => current?.hangUp(),
    returns: () => Math.max(0, turn),
    leave: () => {
      hasLeft = true
      current?.hangUp()
    },
  }
}

/** The numbers heard, which are what was published; `gap` where something was lost. */
export function heardNumbers(events: readonly Heard[]): (number | 'gap')[] {
  return events.map(({ event, data }) => (event === 'gap' ? 'gap' : Number(data)))
}
