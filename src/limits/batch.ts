import type { Redis } from 'ioredis'
import type { Taken } from '../define/services.ts'
import { intervalOf, type Limit, takenOf } from '../policy/limits.ts'
import { scriptCall } from '../redis/script-call.ts'
import { limitScript } from './script.ts'

/**
 * After so many a step goes out at once, and the next callers are asked for while the store is at it. With all of a turn in one
 * step this process and the store would wait for each other in turns: a quarter of the calls in a second, measured.
 */
const mostCallers = 25

type Ask = (redis: Redis, keys: readonly string[], args: readonly (string | number)[]) => Promise<unknown>
type Asked = { readonly limit: Limit; readonly callers: ((taken: Taken) => void)[] }

export type LimitBatchOptions = {
  readonly redis: Redis & { push?(): void }
  readonly patienceMs: number
  /** The store has counted `calls` of a key, of which at least one passed. */
  readonly onPassed: (key: string, limit: Limit, calls: number) => void
  readonly onAnswer: () => void
  /** The store is away, refuses, or has not answered in time. */
  readonly onFailure: (error: unknown) => void
  /** What a caller is told then. */
  readonly alone: (key: string, limit: Limit) => Taken
}

const ask: Ask = scriptCall(limitScript())

/** Asks the store: everything that is asked in one turn of the event loop together, and each key once. */
export class LimitBatch {
  readonly #options: LimitBatchOptions
  readonly #ask: Ask
  #asked = new Map<string, Asked>()
  #callers = 0

  constructor(options: LimitBatchOptions, script: Ask = ask) {
    this.#options = options
    this.#ask = script
  }

  /** Never rejects. Of one key, `limit` is always the same. */
  take(key: string, limit: Limit): Promise<Taken> {
    return new Promise((resolve) => {
      if (this.#asked.size === 0) process.nextTick(() => this.#send())
      const asked = this.#asked.get(key)
      if (asked) asked.callers.push(resolve)
      else this.#asked.set(key, { limit, callers: [resolve] })
      this.#callers += 1
      if (this.#callers < mostCallers) return
      this.#send()
      this.#options.redis.push?.()
    })
  }

  #send(): void {
    if (this.#asked.size === 0) return
    const asked = this.#asked
    this.#asked = new Map()
    this.#callers = 0
    void this.#answers([...asked.keys()], [...asked.values()])
  }

  async #answers(keys: readonly string[], asked: readonly Asked[]): Promise<void> {
    const { redis, patienceMs, onPassed, onAnswer, onFailure, alone } = this.#options
    let numbers: number[]
    try {
      if (redis.status !== 'ready') throw new Error(`the connection is ${redis.status}`)
      // One text: a hundred small arguments cost both sides more than all the rest.
      const terms = asked.map(({ limit, callers }) => `${termsOf(limit)} ${callers.length}`).join()
      numbers = (await inTime(this.#ask(redis, keys, [terms]), patienceMs)) as number[]
    } catch (error) {
      onFailure(error)
      for (const [i, { limit, callers }] of asked.entries()) {
        const key = keys[i] ?? ''
        for (const resolve of callers) resolve(alone(key, limit))
      }
      return
    }
    onAnswer()
    for (const [i, { limit, callers }] of asked.entries()) {
      const standing = { room: numbers[3 * i] ?? 0, retry: numbers[3 * i + 1] ?? 0, reset: numbers[3 * i + 2] ?? 0 }
      if (standing.room > 0) onPassed(keys[i] ?? '', limit, Math.min(standing.room, callers.length))
      for (let nth = 0; nth < callers.length; nth++) callers[nth]?.(takenOf(limit, standing, nth))
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
