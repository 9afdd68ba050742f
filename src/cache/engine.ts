import type { Redis } from 'ioredis'
import { LRUCache } from 'lru-cache'
import type { Logger } from '../observe/log.ts'
import { Circuit, type CircuitState } from '../policy/circuit.ts'
import { keys } from '../redis/keys.ts'
import { room } from '../redis/room.ts'
import { type Core, type CoreSettings, coreDefaults, freshToken } from './core.ts'
import { forgetHere } from './invalidate.ts'
import { coarse, Local, localDefaults } from './local.ts'
import { payOwed } from './owed.ts'
import { Reads } from './reads.ts'
import { type Result, Stats } from './stats.ts'
import { CacheStore } from './store.ts'
import { type Message, Told } from './told.ts'
import { Used } from './used.ts'
import { View } from './view.ts'

/** Tenants whose view is kept; another one is made when it is asked for. */
const maxViews = 1_000
/** How often what was counted goes to the metrics. */
const harvestMs = 1_000
/** And how often to the store, in harvests. */
const flushEvery = 5
const statsMs = 86_400_000

export type EngineOptions = {
  /** Fails at once while it is away: purpose `producer`. */
  readonly redis: Redis
  /** A connection of its own, on which it only listens. */
  readonly subscriber: Redis
  readonly prefix: string
  readonly log: Logger
  readonly onRequests?: (cache: string, result: Result, count: number) => void
  /** State of the circuit around the store. */
  readonly onCircuit?: (state: CircuitState) => void
  /** Another process asks to close a breaker. */
  readonly onClose?: (name: string) => void
  readonly local?: Partial<typeof localDefaults>
  readonly settings?: Partial<CoreSettings>
  readonly timeoutMs?: number
  readonly now?: () => number
  readonly random?: () => number
}

/** The cache of this process: L1 at hand, L2 in the cache store, for all tenants. */
export class CacheEngine {
  readonly name = 'cache'
  readonly core: Core
  readonly used: Used
  readonly #views = new LRUCache<string, View>({ max: maxViews })
  readonly #stopping = new AbortController()
  #timer: NodeJS.Timeout | undefined
  #harvests = 0
  #paying: Promise<void> | undefined

  constructor(options: EngineOptions) {
    const { redis, subscriber, prefix, log, now = Date.now, random = positiveRandom } = options
    const circuit = new Circuit(undefined, (state) => {
      if (state !== 'half-open')
        log.warn({ state }, state === 'open' ? 'the cache store is left alone' : 'the cache store is back')
      options.onCircuit?.(state)
    })
    const store = new CacheStore({ redis, circuit, timeoutMs: options.timeoutMs, now })
    this.core = {
      store,
      reads: new Reads(store),
      local: new Local({ ...localDefaults, ...options.local }),
      told: new Told({ subscriber, prefix, me: freshToken(), log }),
      stats: new Stats(options.onRequests ?? (() => {})),
      prefix,
      log,
      settings: { ...coreDefaults, ...options.settings },
      now,
      // A clock that was handed in says by itself what time it is.
      coarseNow: options.now ? now : coarse(now),
      random,
      flights: new Map(),
      refreshing: new Set(),
      owed: new Map(),
      stopping: this.#stopping.signal,
    }
    this.used = new Used(random)
    this.core.told.listen({
      onMessage: (message) => ('close' in message ? options.onClose?.(message.close) : forgetHere(this.core, message)),
      onGap: () => this.core.local.clear(),
    })
  }

  async start(): Promise<void> {
    await this.core.told.start()
    this.#timer = setInterval(() => this.#harvest(), harvestMs)
    this.#timer.unref()
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    this.#stopping.abort(new Error('this process stops'))
    await this.flush().catch(() => {})
    await this.core.told.stop()
    this.core.store.stop()
  }

  of(tenant: string | undefined): View {
    return this.ofRoom(room(tenant))
  }

  ofRoom(own: string): View {
    let view = this.#views.get(own)
    if (!view) {
      view = new View(this.core, this.used, own)
      this.#views.set(own, view)
    }
    return view
  }

  /** Tells the store what was counted since the last time. */
  async flush(): Promise<void> {
    const { stats, store, prefix, now } = this.core
    stats.harvest()
    // Kept until it can be told, but for what is counted between the store's going and somebody's noticing.
    if (store.circuit.stateAt(now()) === 'open') return
    const untold = stats.takeUntold()
    if (untold.size > 0)
      await store.ask((redis) => {
        const pipeline = redis.pipeline()
        for (const [own, tally] of untold)
          for (const name of [own, '*']) {
            const key = keys.cacheStats(prefix) + name
            for (const [field, count] of Object.entries(tally)) if (count > 0) pipeline.hincrby(key, field, count)
            pipeline.pexpire(key, statsMs)
          }
        return pipeline.exec()
      })
    await this.used.flush(store, prefix, now())
  }

  /** Says it to the other processes; how many heard it, this one not counted. 0 with the store away. */
  async tell(message: Message): Promise<number> {
    const { store, told } = this.core
    const heard = await store.ask((redis) => redis.publish(told.channel, told.write(message))).catch(() => 0)
    return Math.max(0, heard - 1)
  }

  #harvest(): void {
    this.core.stats.harvest()
    // One at a time: a pattern among many keys takes longer than the time between two.
    this.#paying ??= payOwed(this.core)
      .catch(() => {})
      .finally(() => {
        this.#paying = undefined
      })
    if (++this.#harvests % flushEvery === 0) this.flush().catch(() => {})
  }
}

/** The logarithm of 0 is nothing to reckon with. */
function positiveRandom(): number {
  return 1 - Math.random()
}
