import { breakersOf, cachePages, startCache } from './app/cache.ts'
import { logConnection } from './app/connections.ts'
import { startDesk } from './app/desk.ts'
import { type Edge, startEdge } from './app/edge.ts'
import { createLife, group } from './app/life.ts'
import { createPublishing, startLive } from './app/live.ts'
import { type StartedServices, startServices } from './app/services.ts'
import { createRunners, settingsOf, watchOver, withoutWorker, workersOf } from './app/workers.ts'
import type { Config, SourceConfig, StoreAddress } from './config.ts'
import type { Enqueue } from './define/worker.ts'
import { apiRoutes } from './http/api.ts'
import { Gatekeeper } from './http/auth.ts'
import { cacheRoutes } from './http/cache.ts'
import { dashboardRoutes } from './http/dashboard.ts'
import { createExpress } from './http/express.ts'
import { healthRoutes } from './http/health.ts'
import { inboxPages, inboxRoutes } from './http/inbox.ts'
import { apiLimit, signInLimit } from './http/limit.ts'
import { HttpServer } from './http/server.ts'
import { createSessions, sessionTimeoutMs } from './http/sessions.ts'
import { type BullQueue, openQueues } from './jobs/bull.ts'
import { Cancellations } from './jobs/cancel.ts'
import { Gate } from './jobs/gate.ts'
import { createGauges } from './jobs/gauges.ts'
import { Inbox } from './jobs/inbox.ts'
import { Janitor } from './jobs/janitor.ts'
import { Producer } from './jobs/producer.ts'
import type { Runner } from './jobs/runner.ts'
import { Scheduler } from './jobs/scheduler.ts'
import { checkSchedules } from './jobs/schedules.ts'
import { Shedder } from './jobs/shedder.ts'
import { StoreWatch } from './jobs/store-watch.ts'
import type { WaitFor } from './jobs/wait-for.ts'
import { Limiter, limitTimeoutMs } from './limits/limiter.ts'
import type { Definitions } from './load.ts'
import type { Logger } from './observe/log.ts'
import { createMetrics } from './observe/metrics.ts'
import { apiKeysOf, type Generated, rememberUrl, sourcesOf } from './ops/first-start.ts'
import { readiness } from './ops/readiness.ts'
import { checkStore, connect, disconnect, durabilityOf, untilReady } from './redis/store.ts'
import { Stores } from './redis/stores.ts'
import { Organizations } from './tenants/organizations.ts'

/*
 * The map: every service, in the order in which it starts. They stop in reverse, under one deadline. This is the only
 * file that knows them all.
 */

export type AppOptions = {
  readonly config: Config
  readonly definitions: Definitions
  readonly log: Logger
  /** Told about slow steps of the start. */
  readonly onProgress?: (detail: string) => void
  /** The compiled keeper of the managed stores, where it is not beside the running code. */
  readonly keeperFile?: string
  /** The compiled entry of isolated workers' processes, where it is not beside the running code. */
  readonly isolateEntry?: string | undefined
  /** The compiled process of the embedded database, where it is not beside the running code. */
  readonly databaseEntry?: string | undefined
  readonly now?: () => number
  /** Longest wait for the store that counts limits, where the usual one is too short for a machine that is busy with tests. */
  readonly limitPatienceMs?: number | undefined
}

export type App = {
  /** Stores a job; resolves when it is durable. */
  readonly enqueue: Enqueue
  /** A job's result, when it is done. */
  readonly waitFor: WaitFor
  readonly bull: ReadonlyMap<string, BullQueue>
  readonly url: string | undefined
  readonly keys: Generated<unknown>
  readonly sources: Generated<readonly SourceConfig[]>
  stop(deadline: number): Promise<void>
}

/** Starts everything the configured roles need. When something refuses, what had started is stopped again. */
export async function startApp(options: AppOptions): Promise<App> {
  const { config, log, now } = options
  const { queues } = options.definitions
  const { run, stop, isStopping } = createLife(log)

  try {
    const has = (role: Config['roles'][number]) => config.roles.includes(role)
    const workers = workersOf(config, options.definitions)
    const settings = await settingsOf(workers, config)
    await checkSchedules(queues)
    for (const name of withoutWorker(options.definitions))
      log.warn(`queue '${name}' has no worker; add workers/${name}.ts`)
    const keys = apiKeysOf(config)
    const sources = sourcesOf(config)
    const organizations = new Organizations({ config, log })
    const metrics = createMetrics((tenant) => organizations.get(tenant) !== undefined)
    for (const role of config.roles) metrics.up.set({ role }, 1)

    // — stores
    const stores = await run(new Stores(config, options))
    // Only pages need the cache: without it workers go on.
    for (const role of has('http') ? (['queue', 'cache'] as const) : (['queue'] as const)) {
      const facts = await checkStore(stores.address(role), role, { ...config, onWait: options.onProgress })
      if (role === 'cache') continue
      const { kept, detail } = durabilityOf(facts, config.durability)
      if (!kept) log.warn(`DURABILITY=${config.durability} is not kept: ${detail}`)
    }
    const open = async (address: StoreAddress, purpose: 'producer' | 'consumer' | 'reader', timeoutMs?: number) => {
      const redis = connect(address, purpose, {
        connectTimeoutMs: config.connectTimeoutMs,
        onError: logConnection(log, purpose),
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
      })
      await run({ name: `${purpose} connection`, start: () => untilReady(redis), stop: () => disconnect(redis) })
      return redis
    }
    const reader = await open(stores.address('queue'), 'reader')
    const cache = await open(stores.address('cache'), 'reader')
    // A connection of its own, on which nothing waits for a store that is away.
    const limiter = new Limiter({
      redis: await open(stores.address('cache'), 'producer', limitTimeoutMs),
      prefix: config.keyPrefix,
      log,
      metrics,
      patienceMs: options.limitPatienceMs,
    })
    const queueWatch = await run(
      new StoreWatch({ redis: reader, store: 'queue', watermark: config.memoryWatermark, metrics }),
    )
    const cacheWatch = await run(new StoreWatch({ redis: cache, store: 'cache', watermark: 1, metrics }))
    const publishing = createPublishing({ redis: await open(stores.address('cache'), 'producer'), config, metrics })

    const caching = await startCache(run, { ...options, metrics, now, address: stores.address('cache') })

    // — jobs
    const bull = openQueues(queues, reader, config.keyPrefix)
    await run({
      name: 'queues',
      stop: async () => void (await Promise.all([...bull.values()].map((queue) => queue.close()))),
    })
    const gate = await run(new Gate({ queues, bull, log }))
    const shedder = await run(new Shedder({ watch: queueWatch, queues, bull, log }))
    const inbox = new Inbox({
      ...config.inbox,
      redis: reader,
      prefix: config.keyPrefix,
      isTight: queueWatch.isTight,
      log,
    })
    if (has('http')) await run(inbox)
    const producer = await run(
      new Producer({
        redis: await open(stores.address('queue'), 'producer', config.ackDeadlineMs),
        queues,
        bull,
        prefix: config.keyPrefix,
        durability: config.durability,
        ackDeadlineMs: config.ackDeadlineMs,
        metrics,
        inbox: inbox.isOn ? inbox : undefined,
        shedder,
      }),
    )
    if (has('scheduler') || has('worker')) await run(new Scheduler({ queues, bull, log, mayChange: has('scheduler') }))
    await run(organizations)
    let services: StartedServices | undefined
    const runners: Runner[] = []
    if (has('worker')) {
      const consumer = await open(stores.address('queue'), 'consumer')
      services = await startServices(run, {
        ...options,
        cacheStore: stores.address('cache'),
        organizations,
        limiter,
        ...caching,
        publish: publishing.publish,
      })
      runners.push(
        ...(await createRunners(run, {
          ...options,
          workers,
          settings,
          redis: consumer,
          metrics,
          enqueue: producer.enqueueFromWorker,
          gate,
          services: services.of,
        })),
      )
      const byQueue = new Map(runners.map((runner) => [runner.queue, runner]))
      const subscriber = await open(stores.address('queue'), 'consumer')
      await run(new Cancellations({ subscriber, redis: reader, prefix: config.keyPrefix, runners: byQueue, log }))
      await run(group('workers', runners))
      await watchOver(run, { runners, redis: consumer, bull, log, metrics })
    }
    if (has('scheduler')) await run(new Janitor({ queues, bull, log }))
    const blocking = (role: 'queue' | 'cache', what: string) => () =>
      connect(stores.address(role), 'consumer', { onError: logConnection(log, what) })
    const waiting = blocking('queue', 'waits')
    const { desk, waits, waitFor } = await startDesk(run, { config, bull, redis: reader, open: waiting, log })

    // — http
    let edge: Edge | undefined
    const checks = () =>
      readiness({
        queueStore: queueWatch,
        cacheStore: cacheWatch,
        breakers: breakersOf(caching),
        durability: config.durability,
        runners,
        spool: edge?.spool.stats(),
        files: { sources: edge?.sources.trouble, organizations: organizations.trouble },
        services: services?.checks() ?? [],
        stopping: isStopping(),
      })
    const gauges = createGauges(bull, metrics)
    const refresh = () => {
      const { events = 0, bytes = 0 } = edge?.spool.stats() ?? {}
      metrics.spoolEvents.set(events)
      metrics.spoolBytes.set(bytes)
      return gauges()
    }
    const health = healthRoutes({ checks, metrics, refresh })
    let server: HttpServer | undefined
    if (has('http')) {
      const gatekeeper = new Gatekeeper(keys.value)
      const live = await startLive(run, {
        config,
        bull,
        gatekeeper,
        store: publishing.store,
        cache,
        queue: reader,
        openCache: blocking('cache', 'live'),
        openQueue: blocking('queue', 'live'),
        metrics,
      })
      edge = await startEdge(run, {
        config,
        sources: sources.value,
        queues,
        enqueueEvent: producer.enqueueEvent,
        revive: producer.revive,
        tenants: organizations,
        take: limiter.take,
        metrics,
        log,
        now,
      })
      server = new HttpServer({
        ...config,
        hooks: edge.hooks,
        express: createExpress({
          health,
          api: apiRoutes({
            queues,
            bull,
            enqueue: producer.enqueue,
            desk,
            waits,
            gatekeeper,
            services: cacheRoutes({ ...cachePages(caching), gatekeeper }),
            bodyLimit: config.bodyLimit,
            live,
            organizations,
            limit: apiLimit(gatekeeper, limiter.take, config.apiRate),
            inbox: inbox.isOn
              ? inboxRoutes({ redis: reader, key: inbox.key, bull, deliver: edge.deliver, gatekeeper })
              : undefined,
          }),
          dashboard: dashboardRoutes({
            bull,
            gatekeeper,
            checks,
            desk,
            countSignIn: signInLimit(limiter),
            inbox: inbox.isOn ? inboxPages({ redis: reader, key: inbox.key, bull }) : undefined,
          }),
          sessions: createSessions(
            await open(stores.address('cache'), 'producer', sessionTimeoutMs),
            config.keyPrefix,
            keys.value,
          ),
          log,
        }),
      })
    } else if (config.env.PORT !== undefined) {
      // Another role has health and metrics on the port that it is given; without one, many can share a machine.
      server = new HttpServer({ ...config, hooks: undefined, express: createExpress({ health, log }) })
    }
    if (server) await run(server)
    if (server && has('http')) rememberUrl(config, server.url)

    return { enqueue: producer.enqueue, waitFor, bull, url: server?.url, keys, sources, stop }
  } catch (error) {
    await stop(Date.now() + 5_000)
    throw error
  }
}
