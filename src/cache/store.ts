import type { Redis } from 'ioredis'
import { messageOf } from '../errors.ts'
import type { Circuit, Pass } from '../policy/circuit.ts'

/** Longest wait for the store: callers are promised 50 ms, and timers are late. */
export const storeTimeoutMs = 30

/** What `ask` throws when the store is not to be had. Without a stack: thousands may be thrown in a second. */
export class StoreAway extends Error {
  constructor(message: string) {
    const { stackTraceLimit } = Error
    Error.stackTraceLimit = 0
    super(message)
    Error.stackTraceLimit = stackTraceLimit
  }
}

/** Answers that say something about the store; others, such as WRONGTYPE, about what was asked. */
const troubles = /^(LOADING|OOM|MISCONF|READONLY|NOREPLICAS|MASTERDOWN|CLUSTERDOWN|NOAUTH|NOPERM|BUSY|TRYAGAIN)/

type Ticket = {
  readonly deadline: number
  readonly pass: Pass
  readonly reject: (error: Error) => void
  isOver: boolean
}

/** The cache store as its callers may rely on it: an answer within the time, or none, and none at once while it is known to be away. */
export class CacheStore {
  readonly redis: Redis
  readonly circuit: Circuit
  readonly #timeoutMs: number
  readonly #now: () => number
  /** In the order of their start. */
  #open: Ticket[] = []
  /** How many of the first are over. */
  #over = 0
  #timer: NodeJS.Timeout | undefined
  #armedFor = Number.POSITIVE_INFINITY

  constructor({
    redis,
    circuit,
    timeoutMs = storeTimeoutMs,
    now = Date.now,
  }: { redis: Redis; circuit: Circuit; timeoutMs?: number | undefined; now?: (() => number) | undefined }) {
    this.redis = redis
    this.circuit = circuit
    this.#timeoutMs = timeoutMs
    this.#now = now
    // A store that has come back need not wait until the circuit tries by itself.
    redis.on('ready', () => circuit.hint())
  }

  /** Throws StoreAway, or what the store answered where that is about the question. */
  ask<T>(command: (redis: Redis) => Promise<T>, timeoutMs = this.#timeoutMs): Promise<T> {
    const pass = this.circuit.admit(this.#now())
    if (pass === undefined) return Promise.reject(new StoreAway('the cache store is left alone'))
    return new Promise<T>((resolve, reject) => {
      // By the clock of the machine: what is injected elsewhere stands still.
      const ticket: Ticket = { deadline: performance.now() + timeoutMs, pass, reject, isOver: false }
      this.#open.push(ticket)
      if (ticket.deadline < this.#armedFor) this.#arm(ticket.deadline, timeoutMs)
      command(this.redis).then(
        (answer) => {
          // Late, but alive.
          if (ticket.isOver) return this.circuit.hint()
          this.#end(ticket)
          this.circuit.succeeded(pass)
          resolve(answer)
        },
        (error: unknown) => {
          if (ticket.isOver) return
          this.#end(ticket)
          const why = messageOf(error)
          if (error instanceof Error && error.name === 'ReplyError' && !troubles.test(why)) {
            this.circuit.succeeded(pass)
            return reject(error)
          }
          this.circuit.failed(pass, this.#now())
          reject(new StoreAway(why))
        },
      )
    })
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  /** Answers come in order, so that most are the first: what is over is not kept until its time is. */
  #end(ticket: Ticket): void {
    ticket.isOver = true
    while (this.#open[this.#over]?.isOver) this.#over++
    if (this.#over < 256 && this.#over < this.#open.length) return
    this.#open.splice(0, this.#over)
    this.#over = 0
  }

  #arm(deadline: number, ms: number): void {
    clearTimeout(this.#timer)
    this.#armedFor = deadline
    this.#timer = setTimeout(() => {
      // This process may have been the one that was late: what lies in the socket is read before anybody is told that there is nothing.
      setImmediate(() => setImmediate(() => this.#sweep()))
    }, ms)
    this.#timer.unref()
  }

  #sweep(): void {
    this.#armedFor = Number.POSITIVE_INFINITY
    const now = performance.now()
    const waiting: Ticket[] = []
    for (const ticket of this.#open) {
      if (ticket.isOver) continue
      if (ticket.deadline > now) {
        waiting.push(ticket)
        continue
      }
      ticket.isOver = true
      const isProbe = ticket.pass === 'probe'
      this.circuit.failed(ticket.pass, this.#now())
      // A connection that said nothing all the time it was left alone may lead nowhere: the next try gets a new one.
      if (isProbe) this.redis.disconnect(true)
      ticket.reject(new StoreAway('the cache store did not answer in time'))
    }
    this.#open = waiting
    this.#over = 0
    const next = waiting.reduce((least, { deadline }) => Math.min(least, deadline), Number.POSITIVE_INFINITY)
    if (waiting.length > 0) this.#arm(next, Math.max(1, next - now))
  }
}
