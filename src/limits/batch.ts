import type { Redis } from 'ioredis'
import type { Taken } from '../define/services.ts'
import { intervalOf, type Limit, takenOf } from '../policy/limits.ts'
import { scriptCall } from '../redis/script-call.ts'
import { limitScript } from './script.ts'

/** Keys in one step of the store, which is busy with them for a millisecond at most. */
const mostKeys = 200

type Ask = (redis: Redis, keys: readonly string[], args: readonly (string | number)[]) => Promise<unknown>
type Caller = { readonly resolve: (taken: Taken) => void; readonly reject: (error: unknown) => void }
type Asked = { readonly limit: Limit; readonly callers: Caller[] }

const ask: Ask = scriptCall(limitScript())

/** Asks the store: everything that is asked in one turn of the event loop together, and each key once. */
export class LimitBatch {
  readonly #redis: Redis
  readonly #patienceMs: number
  readonly #ask: Ask
  #asked = new Map<string, Asked>()

  constructor({ redis, patienceMs }: { redis: Redis; patienceMs: number }, script: Ask = ask) {
    this.#redis = redis
    this.#patienceMs = patienceMs
    this.#ask = script
  }

  /** Rejects when the store is away, refuses, or does not answer in time. Of one key, `limit` is always the same. */
  take(key: string, limit: Limit): Promise<Taken> {
    return new Promise((resolve, reject) => {
      if (this.#asked.size === 0) process.nextTick(() => this.#send())
      const asked = this.#asked.get(key)
      if (asked) asked.callers.push({ resolve, reject })
      else this.#asked.set(key, { limit, callers: [{ resolve, reject }] })
      if (this.#asked.size >= mostKeys) this.#send()
    })
  }

  #send(): void {
    if (this.#asked.size === 0) return
    const asked = this.#asked
    this.#asked = new Map()
    void this.#answers([...asked.keys()], [...asked.values()])
  }

  async #answers(keys: readonly string[], asked: readonly Asked[]): Promise<void> {
    try {
      if (this.#redis.status !== 'ready') throw new Error(`the connection is ${this.#redis.status}`)
      // One text: a hundred small arguments cost both sides more than all the rest.
      const terms = asked.map(({ limit, callers }) => `${termsOf(limit)} ${callers.length}`).join()
      const numbers = (await inTime(this.#ask(this.#redis, keys, [terms]), this.#patienceMs)) as number[]
      asked.forEach(({ limit, callers }, i) => {
        const [room = 0, retry = 0, reset = 0] = numbers.slice(i * 3, i * 3 + 3)
        callers.forEach(({ resolve }, nth) => {
          resolve(takenOf(limit, { room, retry, reset }, nth))
        })
      })
    } catch (error) {
      for (const { callers } of asked) for (const { reject } of callers) reject(error)
    }
  }
}

function termsOf(limit: Limit): string {
  if (limit.kind === 'sliding') return `s ${limit.max} ${limit.window}`
  const interval = intervalOf(limit)
  return `b ${interval} ${interval * limit.max}`
}

/**
 * Rejects when the answer does not come in time. When this process was busy it may have come and not been read: it is read
 * before the timer's word counts, or a long turn here would look like a slow store.
 */
function inTime(answer: Promise<unknown>, ms: number): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const late = () => reject(new Error(`the store has not answered within ${ms} ms`))
    const timer = setTimeout(() => setImmediate(late), ms)
    answer.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
