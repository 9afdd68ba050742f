import type { Redis } from 'ioredis'
import type { Config } from '../config.ts'
import type { Publish } from '../define/services.ts'
import type { Gatekeeper } from '../http/auth.ts'
import { streamRoutes } from '../http/stream.ts'
import type { BullQueue } from '../jobs/bull.ts'
import { createTransitions, transitionStates } from '../jobs/transitions.ts'
import { Feed } from '../live/feed.ts'
import { Hub } from '../live/hub.ts'
import { jobSource } from '../live/job-source.ts'
import { createStore, messageSource, type Store } from '../live/messages.ts'
import { createPublish } from '../live/publish.ts'
import { Reader, type ReaderEvents } from '../live/reader.ts'
import type { Metrics } from '../observe/metrics.ts'
import { keys } from '../redis/keys.ts'
import type { Run } from './life.ts'

/** What workers and the API publish with. `redis` is a connection to the cache store that fails at once. */
export function createPublishing({ redis, config, metrics }: { redis: Redis; config: Config; metrics: Metrics }): {
  store: Store
  publish: (tenant: string | undefined) => Publish
} {
  const store = createStore(redis, keys.live(config.keyPrefix))
  return { store, publish: createPublish(store, (outcome) => metrics.published.inc({ outcome })) }
}

/** Those who listen to this process, and their routes. Nothing is read before somebody does. */
export async function startLive(
  run: Run,
  {
    config,
    bull,
    gatekeeper,
    store,
    cache,
    queue,
    openCache,
    openQueue,
    metrics,
  }: {
    config: Config
    bull: ReadonlyMap<string, BullQueue>
    gatekeeper: Gatekeeper
    store: Store
    /** Connections to the two stores. */
    cache: Redis
    queue: Redis
    /** Open connections on which commands may block. */
    openCache: () => Redis
    openQueue: () => Redis
    metrics: Metrics
  },
): Promise<ReturnType<typeof streamRoutes>> {
  const messages = new Feed(messageSource(cache, keys.live(config.keyPrefix)))
  const transitions = createTransitions()
  const jobs = new Map(
    [...bull].map(([name, one]) => {
      const source = jobSource({
        queue: name,
        key: one.toKey('events'),
        redis: queue,
        transitions: (raw) => transitions(one, raw),
      })
      return [name, new Feed(source)]
    }),
  )
  let readers: { cache: Reader; queue: Reader } | undefined
  const readersOf = (events: ReaderEvents) => ({
    cache: new Reader({ open: openCache, ask: cache, events }),
    queue: new Reader({ open: openQueue, ask: queue, events }),
  })
  const hub = await run(
    new Hub({
      messages,
      jobs,
      readerOf: (feed, events) => {
        readers ??= readersOf(events)
        return feed === messages ? readers.cache : readers.queue
      },
      mostClients: config.live.clients,
      heartbeatMs: config.live.heartbeatMs,
      clientBytes: config.live.clientBytes,
      count: {
        clients: (now) => metrics.streamClients.set(now),
        ended: (reason) => metrics.streamEnded.inc({ reason }),
        gap: () => metrics.streamGaps.inc(),
      },
    }),
  )
  return streamRoutes({ hub, store, queues: [...bull.keys()], states: transitionStates, gatekeeper })
}
