import { LRUCache } from 'lru-cache'
import { type Duration, durationMs } from '../define/duration.ts'
import { isRateLimited } from '../define/rate-limited.ts'
import type { BreakerCall, Breakers } from '../define/services.ts'
import { MillraceError } from '../errors.ts'
import type { Logger } from '../observe/log.ts'
import { Circuit, type CircuitPolicy, type CircuitState, circuitPolicy } from '../policy/circuit.ts'

/** More than anybody writes into code: somebody uses ids for names, and the longest unused is forgotten. */
const maxNames = 1_000
/** A call without an end would never be counted. */
const defaultTimeout: Duration = '30s'

export type BreakerView = {
  readonly name: string
  readonly state: CircuitState
  readonly failures: number
  /** When it tries again, while it is open. */
  readonly until: string | undefined
}

/** The breakers of this process, by what is called: one dependency is broken for all tenants. */
export class CallBreakers implements Breakers {
  readonly #circuits: LRUCache<string, Circuit>
  readonly #policy: CircuitPolicy
  readonly #log: Logger
  readonly #onState: (name: string, state: CircuitState | undefined) => void
  readonly #now: () => number

  constructor({
    log,
    policy = circuitPolicy,
    onState = () => {},
    now = Date.now,
  }: {
    log: Logger
    policy?: CircuitPolicy
    /** Undefined: it is forgotten. */
    onState?: (name: string, state: CircuitState | undefined) => void
    now?: (() => number) | undefined
  }) {
    this.#policy = policy
    this.#log = log
    this.#onState = onState
    this.#now = now
    this.#circuits = new LRUCache({ max: maxNames, dispose: (_circuit, name) => onState(name, undefined) })
  }

  async run<Value>(
    name: string,
    call: BreakerCall<Value>,
    options: { timeout?: Duration; signal?: AbortSignal } = {},
  ): Promise<Value> {
    const ms = durationMs(options.timeout ?? defaultTimeout, `breaker '${name}': timeout`)
    const circuit = this.#circuits.get(name) ?? this.#add(name)
    const pass = circuit.admit(this.#now())
    if (pass === undefined) throw refusal(name, circuit.until, this.#now())
    const timeout = new AbortController()
    let timer: NodeJS.Timeout | undefined
    try {
      const late = new Promise<never>((_resolve, reject) => {
        timer = setTimeout(() => {
          const error = new Error(`${name} did not answer within ${ms} ms`)
          timeout.abort(error)
          reject(error)
        }, ms)
      })
      const value = await Promise.race([call({ signal: timeout.signal }), late])
      circuit.succeeded(pass)
      return value
    } catch (error) {
      // "Too often" comes from somebody who is well; who is called off here says nothing about anybody there.
      if (isRateLimited(error) || isCalledOff(options.signal)) circuit.gaveUp(pass)
      else circuit.failed(pass, this.#now())
      throw error
    } finally {
      clearTimeout(timer)
    }
  }

  list(): BreakerView[] {
    const now = this.#now()
    return [...this.#circuits.entries()]
      .map(([name, circuit]) => ({
        name,
        state: circuit.stateAt(now),
        failures: circuit.failures,
        until: circuit.until === undefined ? undefined : new Date(circuit.until).toISOString(),
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** Closes it by hand. False when there is none of that name here. */
  reset(name: string): boolean {
    const circuit = this.#circuits.peek(name)
    circuit?.reset()
    return circuit !== undefined
  }

  #add(name: string): Circuit {
    if (typeof name !== 'string' || !/^[\w.:-]{1,100}$/.test(name))
      throw new MillraceError('bad-request', `a breaker's name is 1 to 100 letters, digits, and . : _ -`)
    const circuit = new Circuit(this.#policy, (state) => {
      if (state !== 'half-open') this.#log.warn({ breaker: name, state }, `breaker ${name} is ${state}`)
      this.#onState(name, state)
    })
    this.#circuits.set(name, circuit)
    this.#onState(name, 'closed')
    return circuit
  }
}

/** A caller whose time is over has waited for the other side. */
function isCalledOff(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true && (signal.reason as Error | undefined)?.name !== 'TimeoutError'
}

function refusal(name: string, until: number | undefined, now: number): MillraceError {
  // Half-open, with the one that tries still on its way.
  const seconds = until === undefined ? 1 : Math.max(1, Math.ceil((until - now) / 1_000))
  return new MillraceError('breaker-open', `${name} has failed again and again; it is tried again in ${seconds} s`, {
    retryAfter: seconds,
  })
}
