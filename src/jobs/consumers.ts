import type { Consumer } from './consumer.ts'

/** The consumer of a queue in this process, and those before it that were given up, with what they still have in hand. */
export class Consumers {
  readonly #retired = new Map<Consumer, Promise<void>>()
  #current: Consumer | undefined

  get current(): Consumer | undefined {
    return this.#current
  }

  /** All whose locks are this process's. */
  get all(): readonly Consumer[] {
    return this.#current ? [...this.#retired.keys(), this.#current] : [...this.#retired.keys()]
  }

  /** Answers of the store to fetches. */
  get fetches(): number {
    return this.all.reduce((sum, consumer) => sum + consumer.fetches, 0)
  }

  get shouldFetch(): boolean {
    return this.#current?.shouldFetch === true
  }

  add(consumer: Consumer): Consumer {
    this.#current = consumer
    return consumer
  }

  /** Gives the current one up: it takes no more, and finishes what it has in hand. */
  async retire(): Promise<void> {
    const old = this.#current
    if (!old) return
    await old.revive()
    this.#retired.set(old, old.retire())
  }

  /** Takes no more. Resolves when nothing is in hand any more. */
  async close(): Promise<void> {
    await Promise.all([this.#current?.close(), ...this.#retired.values()])
  }
}
