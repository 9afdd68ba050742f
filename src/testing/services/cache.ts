import { jsonOf, largestBytes } from '../../cache/entry.ts'
import { canonical, checkKey, checkName, checkWhat } from '../../cache/name.ts'
import { policyOf } from '../../cache/presets.ts'
import type { Cache, CacheOptions, WarmReport } from '../../define/services.ts'

/** An entry, as a test looks at it. */
export type Cached = {
  readonly tenant: string | undefined
  readonly key: string
  readonly value: unknown
  readonly tags: readonly string[]
  /** Milliseconds on the kit's clock. */
  readonly expiresAt: number
}

type Entry = Omit<Cached, 'value'> & {
  readonly json: string | undefined
  readonly ttlMs: number
  readonly staleMs: number
  readonly sliding: boolean
}

/** The entries of all tenants. */
export class CacheShelf {
  readonly #now: () => number
  readonly #entries = new Map<string, Entry>()
  /** Computations under way. */
  readonly #computing = new Map<string, Promise<unknown>>()

  constructor(now: () => number) {
    this.#now = now
  }

  /** Undefined when there is none; `isStale` when it is past its time, and given only until a new one is there. */
  find(tenant: string | undefined, key: string): { readonly value: unknown; readonly isStale: boolean } | undefined {
    checkName(key)
    const id = idOf(tenant, key)
    const entry = this.#entries.get(id)
    if (!entry) return undefined
    const now = this.#now()
    if (now >= entry.expiresAt + entry.staleMs) {
      this.#entries.delete(id)
      return undefined
    }
    const isStale = now >= entry.expiresAt
    if (entry.sliding && !isStale) this.#entries.set(id, { ...entry, expiresAt: now + entry.ttlMs })
    return { value: readValue(entry), isStale }
  }

  put(tenant: string | undefined, key: string, value: unknown, options: CacheOptions): void {
    checkName(key)
    const { ttlMs, negativeMs, staleMs, sliding, tags } = policyOf(options)
    const isNegative = value === undefined || value === null
    const ownMs = isNegative ? negativeMs : ttlMs
    const json = value === undefined ? undefined : jsonOf(value)
    // Not kept, and what was there is not so any more.
    if (ownMs <= 0 || Buffer.byteLength(json ?? '') > largestBytes) return void this.#entries.delete(idOf(tenant, key))
    const entry = { tenant, key, json, tags, expiresAt: this.#now() + ownMs, ttlMs: ownMs }
    this.#entries.set(idOf(tenant, key), { ...entry, staleMs, sliding: sliding && !isNegative })
  }

  compute(tenant: string | undefined, key: string, compute: () => Promise<unknown>, options: CacheOptions) {
    const id = idOf(tenant, key)
    const underWay = this.#computing.get(id)
    if (underWay) return underWay
    const computing = compute()
      .then((value) => {
        try {
          this.put(tenant, key, value, options)
        } catch (error) {
          // What is no JSON is given, and not kept.
          if (!(error instanceof TypeError)) throw error
        }
        return value
      })
      .finally(() => this.#computing.delete(id))
    this.#computing.set(id, computing)
    return computing
  }

  remove(tenant: string | undefined, fits: (entry: Entry) => boolean): number {
    const gone = [...this.#entries].filter(([, entry]) => entry.tenant === tenant && fits(entry))
    for (const [id] of gone) this.#entries.delete(id)
    return gone.length
  }

  all(): Cached[] {
    const now = this.#now()
    const fresh = [...this.#entries.values()].filter((entry) => now < entry.expiresAt)
    return fresh.map((entry) => {
      const { tenant, key, tags, expiresAt } = entry
      return { tenant, key, value: readValue(entry), tags, expiresAt }
    })
  }
}

export function cacheOf(shelf: CacheShelf, tenant: string | undefined, prefix = ''): Cache {
  const nameOf = (key: string) => {
    checkKey(key)
    return prefix + key
  }
  const cache: Cache = {
    namespace: (name) => cacheOf(shelf, tenant, `${prefix}${name}:`),
    get: async <Value>(key: string) => shelf.find(tenant, nameOf(key))?.value as Value | undefined,
    getMany: async <Value>(keys: readonly string[]) =>
      keys.map((key) => shelf.find(tenant, nameOf(key))?.value as Value | undefined),
    set: async (key, value, options = {}) => shelf.put(tenant, nameOf(key), value, options),
    setMany: async (entries, options = {}) => {
      const put = async ([key, value]: readonly [string, unknown]) => shelf.put(tenant, nameOf(key), value, options)
      const refused = (await Promise.allSettled(Array.from(entries, put))).find((one) => one.status === 'rejected')
      if (refused) throw refused.reason
    },
    getOrCompute: async <Value>(
      key: string,
      compute: (given: { signal: AbortSignal }) => Promise<Value> | Value,
      options: CacheOptions = {},
    ) => {
      const found = shelf.find(tenant, nameOf(key))
      if (found && !found.isStale) return found.value as Value
      const run = async () => compute({ signal: new AbortController().signal })
      const computing = shelf.compute(tenant, nameOf(key), run, options) as Promise<Value>
      if (!found) return computing
      computing.catch(() => {})
      return found.value as Value
    },
    // The arguments in full and not a hash of them: a test can read them.
    cached: (fn, { name, key = (...args) => canonical(args), ...options }) => {
      return (...args) => cache.getOrCompute(`${name}:${key(...args)}`, () => fn(...args), options)
    },
    delete: async (...keys) => {
      shelf.remove(tenant, (entry) => keys.some((key) => entry.key === prefix + key))
    },
    invalidate: async (what) => {
      checkWhat(what)
      if ('tag' in what) return shelf.remove(tenant, ({ tags }) => tags.includes(what.tag))
      const parts = `${prefix}${what.pattern}`.split('*').map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
      const pattern = new RegExp(`^${parts.join('.*')}$`, 's')
      return shelf.remove(tenant, ({ key }) => pattern.test(key))
    },
    warm: async () => nothingWarmed,
  }
  return cache
}

/** What was used in the last day is known to the store, and there is none. */
const nothingWarmed: WarmReport = {
  tenants: 0,
  warmed: 0,
  fresh: 0,
  busy: 0,
  unknown: 0,
  failed: 0,
  errors: [],
  tookMs: 0,
}

function idOf(tenant: string | undefined, key: string): string {
  return JSON.stringify([tenant ?? null, key])
}

/** Frozen, as it is when one value is given to many. */
function readValue({ json }: Entry): unknown {
  return json === undefined ? undefined : JSON.parse(json, (_key, value) => Object.freeze(value))
}
