/*
 * When to leave something broken alone. Closed: every call goes, failures in a row are counted. Open: none goes. Half-open: one
 * goes at a time; so many successes in a row close it, one failure opens it again. (The breaker of a queue is another: it goes
 * by shares of many jobs, and one success closes it.)
 */

export type CircuitPolicy = {
  /** Failures in a row that open it. */
  readonly failures: number
  readonly openMs: number
  /** Successes in a row that close it. */
  readonly successes: number
}

/** What the guides ask for: long enough open for a restart on the other side, and one lucky call is no recovery. */
export const circuitPolicy: CircuitPolicy = Object.freeze({ failures: 5, openMs: 60_000, successes: 2 })

export type CircuitState = 'closed' | 'half-open' | 'open'
/** How a call was let go. */
export type Pass = 'run' | 'probe'

/** Knows no clock: each call says what time it is. */
export class Circuit {
  readonly #policy: CircuitPolicy
  readonly #onChange: (state: CircuitState) => void
  #state: CircuitState = 'closed'
  #failures = 0
  #successes = 0
  #isProbing = false
  #until = 0

  constructor(policy: CircuitPolicy = circuitPolicy, onChange: (state: CircuitState) => void = () => {}) {
    this.#policy = policy
    this.#onChange = onChange
  }

  /** Whether a call may go; undefined when not. Whoever got a pass hands it back to one of the next three. */
  admit(now: number): Pass | undefined {
    if (this.#state === 'closed') return 'run'
    if (this.#state === 'open') {
      if (now < this.#until) return undefined
      this.#become('half-open')
    }
    if (this.#isProbing) return undefined
    this.#isProbing = true
    return 'probe'
  }

  succeeded(pass: Pass): void {
    if (pass === 'run') {
      // One that started before it opened says how things were then.
      if (this.#state === 'closed') this.#failures = 0
      return
    }
    this.#isProbing = false
    if (this.#state !== 'half-open') return
    this.#successes++
    if (this.#successes >= this.#policy.successes) this.#become('closed')
  }

  failed(pass: Pass, now: number): void {
    if (pass === 'probe') this.#isProbing = false
    if (this.#state === 'open' || (this.#state === 'half-open' && pass === 'run')) return
    this.#failures++
    if (this.#state === 'closed' && this.#failures < this.#policy.failures) return
    this.#until = now + this.#policy.openMs
    this.#become('open')
  }

  /** The call ended in a way that says nothing about the other side. */
  gaveUp(pass: Pass): void {
    if (pass === 'probe') this.#isProbing = false
  }

  /** A sign that the other side is back: the next call tries. */
  hint(): void {
    if (this.#state === 'open') this.#become('half-open')
  }

  /** By hand. */
  reset(): void {
    this.#isProbing = false
    this.#become('closed')
  }

  stateAt(now: number): CircuitState {
    return this.#state === 'open' && now >= this.#until ? 'half-open' : this.#state
  }

  get failures(): number {
    return this.#failures
  }

  /** When it will try again; undefined unless it is open. */
  get until(): number | undefined {
    return this.#state === 'open' ? this.#until : undefined
  }

  #become(state: CircuitState): void {
    const isNew = state !== this.#state
    this.#state = state
    this.#successes = 0
    if (state === 'closed') this.#failures = 0
    if (isNew) this.#onChange(state)
  }
}
