import type { Redis } from 'ioredis'

export type Listener = {
  readonly onMessage: (text: string) => void
  /** At the start and after each reconnection: what was said in between was said to nobody. */
  readonly onListening: () => void
  readonly onError: (error: unknown) => void
}

/**
 * One channel on a connection that is used for nothing else. It subscribes anew with each connection; ioredis' own
 * resubscription is off (see store.ts), because nobody hears of it when that fails or has been done.
 */
export class Channel {
  readonly name: string
  readonly #redis: Redis
  readonly #listener: Listener
  readonly #onReady = () => void this.#subscribe()
  readonly #onMessage = (_channel: string, text: string) => this.#listener.onMessage(text)

  constructor(redis: Redis, name: string, listener: Listener) {
    this.name = name
    this.#redis = redis
    this.#listener = listener
  }

  /** Resolves when it listens, or at once while there is no connection. */
  async start(): Promise<void> {
    this.#redis.on('message', this.#onMessage)
    this.#redis.on('ready', this.#onReady)
    if (this.#redis.status === 'ready') await this.#subscribe()
  }

  stop(): void {
    this.#redis.off('message', this.#onMessage)
    this.#redis.off('ready', this.#onReady)
  }

  async #subscribe(): Promise<void> {
    try {
      await this.#redis.subscribe(this.name)
    } catch (error) {
      return this.#listener.onError(error)
    }
    this.#listener.onListening()
  }
}
