import type { CacheStore } from './store.ts'

/** Entries may be a megabyte each, and whoever comes after waits for all of them. */
const mostKeys = 50

type Caller = { readonly resolve: (text: Buffer | null) => void; readonly reject: (error: unknown) => void }

/** Reads what is asked for in one turn of the event loop with one command: a GET for each costs this process twice as much. */
export class Reads {
  readonly #store: CacheStore
  #keys: string[] = []
  #callers: Caller[] = []

  constructor(store: CacheStore) {
    this.#store = store
  }

  /** Null where there is nothing, or nothing that can be an entry. Rejects as `store.ask`. */
  get(key: string): Promise<Buffer | null> {
    return new Promise((resolve, reject) => {
      if (this.#keys.length === 0) process.nextTick(() => this.#send())
      this.#keys.push(key)
      this.#callers.push({ resolve, reject })
      if (this.#keys.length === mostKeys) this.#send()
    })
  }

  #send(): void {
    const [keys, callers] = [this.#keys, this.#callers]
    if (keys.length === 0) return
    ;[this.#keys, this.#callers] = [[], []]
    this.#store
      .ask((redis) => redis.mgetBuffer(keys))
      .then(
        (texts) => {
          for (let i = 0; i < callers.length; i++) callers[i]?.resolve(texts[i] ?? null)
        },
        (error: unknown) => {
          for (const { reject } of callers) reject(error)
        },
      )
  }
}
