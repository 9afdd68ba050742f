import { type Duration, durationMs } from '../../define/duration.ts'
import type { Cache, CacheOptions, Ttl, TtlPreset } from '../../define/services.ts'

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
} & {
  readonly sliding: boolean
}

const presets: Readonly<Record<TtlPreset, Duration>> = {
  short: '1m',
  medium: '5m',
  long: '15m',
  hour: '1h',
  day: '24h',
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
    const { ttl = 'medium', negative, stale = '0ms', tags = [], sliding = false } = options
    const fullMs = ttlMs(ttl)
    const isNone = value === undefined || value === null
    const ownMs = isNone
      ? negative === undefined
        ? Math.min(30_000, fullMs)
        : durationMs(negative, 'negative')
      : fullMs
    if (ownMs <= 0) return
    const entry = { tenant, key, json: JSON.stringify(value), tags, expiresAt: this.#now() + ownMs, ttlMs: ownMs }
    this.#entries.set(idOf(tenant, key), { ...entry, staleMs: durationMs(stale, 'stale'), sliding })
  }

  compute(tenant: string | undefined, key: string, compute: () => Promise<unknown>, options: CacheOptions) {
    const id = idOf(tenant, key)
    const underWay = this.#computing.get(id)
    if (underWay) return underWay
    const computing = compute()
      .then((value) => {
        this.put(tenant, key, value, options)
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
  const cache: Cache = {
    namespace: (name) => cacheOf(shelf, tenant, `${prefix}${name}:`),
    get: async <Value>(key: string) => shelf.find(tenant, prefix + key)?.value as Value | undefined,
    set: async (key, value, options = {}) => shelf.put(tenant, prefix + key, value, options),
    getOrCompute: async <Value>(
      key: string,
      compute: (given: { signal: AbortSignal }) => Promise<Value> | Value,
      options: CacheOptions = {},
    ) => {
      const found = shelf.find(tenant, prefix + key)
      if (found && !found.isStale) return found.value as Value
      const run = async () => compute({ signal: new AbortController().signal })
      const computing = shelf.compute(tenant, prefix + key, run, options) as Promise<Value>
      if (!found) return computing
      computing.catch(() => {})
      return found.value as Value
    },
    cached: (fn, { name, key = canonical, ...options }) => {
      return (...args) => cache.getOrCompute(`${name}:${key(...args)}`, () => fn(...args), options)
    },
    delete: async (...keys) => {
      shelf.remove(tenant, (entry) => keys.some((key) => entry.key === prefix + key))
    },
    invalidate: async (what) => {
      if ('tag' in what) return shelf.remove(tenant, ({ tags }) => tags.includes(what.tag))
      const parts = `${prefix}${what.pattern}`.split('*').map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
      const pattern = new RegExp(`^${parts.join('.*')}$`, 's')
      return shelf.remove(tenant, ({ key }) => pattern.test(key))
    },
  }
  return cache
}

function ttlMs(ttl: Ttl): number {
  return durationMs(Object.hasOwn(presets, ttl) ? presets[ttl as TtlPreset] : (ttl as Duration), 'ttl')
}

function idOf(tenant: string | undefined, key: string): string {
  return JSON.stringify([tenant ?? null, key])
}

function readValue({ json }: Entry): unknown {
  return json === undefined ? undefined : JSON.parse(json)
}

/** The arguments in full, which a test can read, and in an order that no caller decides. */
function canonical(...args: readonly unknown[]): string {
  return JSON.stringify(args, (_key, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  )
}
