import { LRUCache } from 'lru-cache'
import type { Cache, CacheOptions, WarmOptions, WarmReport } from '../define/services.ts'
import { MillraceError } from '../errors.ts'
import { room } from '../redis/room.ts'
import { type Asked, type Compute, load, refresh } from './compute.ts'
import { away, type Core, counted, type Flight, type Ref, read, refOf, tried } from './core.ts'
import { forgetKeys, forgetPattern, forgetTag } from './invalidate.ts'
import type { Held } from './local.ts'
import { readMany, slide, taken } from './many.ts'
import { checkKey, checkName, checkWhat, hashOf } from './name.ts'
import { doneOrOwed } from './owed.ts'
import { policyOf } from './presets.ts'
import type { Counts } from './stats.ts'
import type { Used } from './used.ts'
import { warm } from './warm.ts'
import { write } from './write.ts'

/** More views of one tenant than anybody writes down: they are made for ids, and need not be kept. */
const maxChildren = 100

/** The cache as one tenant has it, below one namespace. */
export class View implements Cache {
  readonly #core: Core
  readonly #used: Used
  readonly #room: string
  readonly #prefix: string
  readonly #counts: Counts
  readonly #now: () => number
  /** What all keys and locks of this view begin with. */
  readonly #keyStart: string
  readonly #lockStart: string
  /** Entries at hand by their own keys: a hit puts no strings together. */
  readonly #near = new Map<string, Held>()
  readonly #children = new LRUCache<string, View>({ max: maxChildren })

  constructor(core: Core, used: Used, room: string, prefix = '') {
    this.#core = core
    this.#used = used
    this.#room = room
    this.#prefix = prefix
    this.#now = core.coarseNow
    const { key, lock } = refOf(core, room, prefix)
    this.#keyStart = key
    this.#lockStart = lock
    this.#counts = core.stats.countsFor(room, prefix.slice(0, Math.max(0, prefix.indexOf(':'))))
  }

  namespace(name: string): View {
    let child = this.#children.get(name)
    if (!child) {
      if (typeof name !== 'string' || name === '')
        throw new MillraceError('bad-request', 'a namespace of the cache is a text, not empty')
      checkName(`${this.#prefix}${name}:`)
      child = new View(this.#core, this.#used, this.#room, `${this.#prefix}${name}:`)
      this.#children.set(name, child)
    }
    return child
  }

  get<Value>(key: string): Promise<Value | undefined> {
    const held = this.#near.get(key)
    if (held?.isThere) {
      const now = this.#now()
      if (now < held.end) return this.#hit(held, now) as Promise<Value | undefined>
    }
    return this.#get(key) as Promise<Value | undefined>
  }

  async getMany<Value>(keys: readonly string[]): Promise<(Value | undefined)[]> {
    const refs = keys.map((key) => this.#ref(key))
    return readMany(this.#core, refs, this.#counts) as Promise<(Value | undefined)[]>
  }

  getOrCompute<Value>(
    key: string,
    compute: (given: { signal: AbortSignal }) => Promise<Value> | Value,
    options?: CacheOptions,
  ): Promise<Value> {
    const held = this.#near.get(key)
    if (held?.isThere) {
      const now = this.#now()
      if (now < held.until) return this.#hit(held, now) as Promise<Value>
    }
    return this.#getOrCompute(key, compute, options) as Promise<Value>
  }

  async set(key: string, value: unknown, options?: CacheOptions): Promise<void> {
    const ref = this.#ref(key)
    const written = await write(this.#core, ref, { value, policy: policyOf(options), counts: this.#counts })
    // What was there is not so any more.
    if (written === 'not kept') return this.delete(key)
    this.#keep(key, written)
  }

  async setMany(entries: Iterable<readonly [key: string, value: unknown]>, options?: CacheOptions): Promise<void> {
    // The connection sends together what is sent in one turn.
    const settled = await Promise.allSettled(Array.from(entries, ([key, value]) => this.set(key, value, options)))
    const refused = settled.find((one) => one.status === 'rejected')
    if (refused) throw refused.reason
  }

  cached<Args extends readonly unknown[], Value>(
    fn: (...args: Args) => Promise<Value> | Value,
    options: CacheOptions & { readonly name: string; readonly key?: (...args: Args) => string },
  ): (...args: Args) => Promise<Value> {
    const view = this.namespace(options.name)
    const fixed = Object.freeze({ ...options })
    // A wrong option is found here and not at the first call.
    policyOf(fixed)
    const full = `${this.#prefix}${options.name}`
    const computed = (args: readonly unknown[]) => fn(...(args as unknown as Args))
    const keyOf = (args: readonly unknown[]) => (options.key ? options.key(...(args as unknown as Args)) : hashOf(args))
    this.#used.learn(this.#room, full, { view, keyOf, compute: computed, options: fixed })
    return (...args) => {
      this.#used.note(this.#room, full, args)
      return view.getOrCompute(keyOf(args), () => computed(args) as Promise<Value>, fixed)
    }
  }

  async delete(...keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return
    const refs = keys.map((key) => this.#ref(key))
    await doneOrOwed(this.#core, { room: this.#room, what: JSON.stringify(refs.map(({ name }) => name)) }, () =>
      forgetKeys(this.#core, refs),
    )
  }

  async invalidate(what: { readonly tag: string } | { readonly pattern: string }): Promise<number> {
    checkWhat(what)
    const owing = { room: this.#room, what: JSON.stringify(what) + this.#prefix }
    const gone = await doneOrOwed(this.#core, owing, () =>
      'tag' in what
        ? forgetTag(this.#core, this.#room, what.tag)
        : forgetPattern(this.#core, this.#room, this.#literal() + what.pattern),
    )
    return gone ?? 0
  }

  warm({ tenant, ...options }: WarmOptions = {}): Promise<WarmReport> {
    const isAll = this.#room === room(undefined)
    if (tenant !== undefined && !isAll && room(tenant) !== this.#room)
      return Promise.reject(new MillraceError('forbidden', 'a job of one tenant warms nothing of another'))
    const rooms = tenant !== undefined ? room(tenant) : isAll ? 'all' : this.#room
    const viewOf = (own: string) => (own === this.#room ? this : new View(this.#core, this.#used, own))
    return warm(this.#core, this.#used, { rooms, viewOf }, options)
  }

  /** How one key is asked for: for those who ask behind their callers' backs. */
  asked(key: string, compute: Compute, options: CacheOptions): Asked {
    return { ref: this.#ref(key), policy: policyOf(options), counts: this.#counts, compute }
  }

  async #get(key: string): Promise<unknown> {
    const ref = this.#ref(key)
    const now = this.#now()
    const held = this.#core.local.find(ref.key)
    if (held && now < held.end) {
      this.#keep(key, held)
      return this.#hit(held, now)
    }
    const told = this.#core.local.told
    const answer = await tried(this.#core, ref, read(this.#core, ref, undefined))
    if (answer === away) {
      const counts = counted(this.#core, this.#counts)
      counts.error++
      counts.miss++
      return undefined
    }
    const found = taken(this.#core, ref, answer, { told, counts: this.#counts })
    this.#keep(key, found?.held)
    return found?.value
  }

  #getOrCompute(key: string, compute: Compute, options: CacheOptions | undefined): Promise<unknown> {
    let asked: Asked
    try {
      asked = this.asked(key, compute, options ?? {})
    } catch (error) {
      return Promise.reject(error)
    }
    const { ref, policy } = asked
    const now = this.#now()
    const held = this.#core.local.find(ref.key)
    if (held && now < held.end) {
      this.#keep(key, held)
      if (now >= held.until) {
        // Once is enough: from here on it is given until its end.
        held.until = held.end
        if (held.end > now) refresh(this.#core, asked, held.id)
      }
      return this.#hit(held, now)
    }
    const underWay = this.#core.flights.get(ref.key)
    if (underWay) {
      counted(this.#core, this.#counts).waited++
      return underWay.promise
    }
    const land = () => {
      if (this.#core.flights.get(ref.key) === flight) this.#core.flights.delete(ref.key)
      this.#keep(key, this.#core.local.find(ref.key))
    }
    const promise = load(this.#core, asked, land)
    const flight: Flight = { ref, tags: policy.tags, promise }
    this.#core.flights.set(ref.key, flight)
    return promise
  }

  #hit(held: Held, now: number): Promise<unknown> {
    const counts = this.#counts
    if (!counts.isListed) this.#core.stats.list(counts)
    counts.l1++
    if (now - held.touched > 1_000) this.#core.local.touch(held, now)
    if (held.sliding) slide(this.#core, held.key, held.ttlMs)
    return held.promise
  }

  #keep(key: string, held: Held | undefined): void {
    if (!held?.isThere) return
    held.near = this.#near
    held.nearKey = key
    this.#near.set(key, held)
  }

  #ref(key: string): Ref {
    checkKey(key)
    const name = this.#prefix + key
    checkName(name)
    return { key: this.#keyStart + key, lock: this.#lockStart + key, room: this.#room, name }
  }

  /** Of a namespace everything is itself, so it goes into a pattern with its stars escaped. */
  #literal(): string {
    if (this.#prefix.includes('*'))
      throw new MillraceError('bad-request', 'a namespace with * cannot be invalidated by pattern; use tags')
    return this.#prefix
  }
}
