import type { Redis } from 'ioredis'
import type { Logger } from '../observe/log.ts'
import { Channel } from '../redis/channel.ts'
import { keys } from '../redis/keys.ts'

/** What every process is told. Keys are whole ones; without a room it is of all tenants. */
export type Message =
  | { readonly forget: 'keys'; readonly keys: readonly string[] }
  | { readonly forget: 'tag'; readonly room?: string; readonly tag: string }
  | { readonly forget: 'pattern'; readonly room?: string; readonly pattern: string }
  | { readonly close: string }

/**
 * The wire between the processes, over pub/sub: at most once. Whoever was cut off does not know what it missed, so it
 * forgets everything as soon as it listens again. Until then it gives what it has, for a minute at most: with the store
 * away there is nothing better.
 */
export class Told {
  readonly name = 'cache messages'
  readonly #me: string
  readonly #channel: Channel
  #onMessage: (message: Message) => void = () => {}
  #onGap: () => void = () => {}

  constructor({ subscriber, prefix, me, log }: { subscriber: Redis; prefix: string; me: string; log: Logger }) {
    this.#me = me
    this.#channel = new Channel(subscriber, keys.cacheTold(prefix), {
      onMessage: (text) => this.#take(text),
      onListening: () => this.#onGap(),
      onError: (err) => log.warn({ err }, 'the cache hears nothing of other processes'),
    })
  }

  get channel(): string {
    return this.#channel.name
  }

  listen({ onMessage, onGap }: { onMessage: (message: Message) => void; onGap: () => void }): void {
    this.#onMessage = onMessage
    this.#onGap = onGap
  }

  /** As it goes over the wire. */
  write(message: Message): string {
    return JSON.stringify({ by: this.#me, ...message })
  }

  /** Does not wait until it listens: a process starts without its cache store too. */
  start(): Promise<void> {
    void this.#channel.start()
    return Promise.resolve()
  }

  stop(): Promise<void> {
    this.#channel.stop()
    return Promise.resolve()
  }

  #take(text: string): void {
    const message = parsed(text)
    // Not one of ours: better too little in hand than something old.
    if (!message) this.#onGap()
    // What this process said it has done already.
    else if (message.by !== this.#me) this.#onMessage(message)
  }
}

function parsed(text: string): (Message & { readonly by: string }) | undefined {
  try {
    return JSON.parse(text) as Message & { by: string }
  } catch {
    return undefined
  }
}
