import type { Client } from './channel.ts'

/** Writes in one turn, some 20 µs each: what else the process does waits no longer than for these. */
const perTurn = 200

type Item = { readonly clients: readonly Client[]; readonly bytes: Buffer }

/** What is to be written to many, in the order in which it was said, a part in each turn of the event loop. */
export class Outbox {
  readonly #write: (client: Client, bytes: Buffer) => void
  readonly #items: Item[] = []
  #next = 0
  #running: Promise<void> | undefined

  constructor(write: (client: Client, bytes: Buffer) => void) {
    this.#write = write
  }

  get isEmpty(): boolean {
    return this.#running === undefined
  }

  add(clients: readonly Client[], bytes: Buffer): void {
    this.#items.push({ clients, bytes })
    if (this.#running) return
    let left = perTurn
    while (left > 0 && this.#items.length > 0) left -= this.#some(left)
    if (this.#items.length > 0) this.#running = this.#run()
  }

  /** Resolves when nothing is left. Who says more meanwhile would only make it longer. */
  drained(): Promise<void> | undefined {
    return this.#running
  }

  async #run(): Promise<void> {
    while (this.#items.length > 0) {
      await new Promise((resolve) => setImmediate(resolve))
      for (let left = perTurn; left > 0 && this.#items.length > 0; ) left -= this.#some(left)
    }
    this.#running = undefined
  }

  /** At most so many writes of the first item. How many there were, at least one. */
  #some(most: number): number {
    const [item] = this.#items
    if (!item) return 1
    const end = Math.min(item.clients.length, this.#next + most)
    const count = end - this.#next
    for (; this.#next < end; this.#next += 1) this.#write(item.clients[this.#next] as Client, item.bytes)
    if (end === item.clients.length) {
      this.#items.shift()
      this.#next = 0
    }
    return Math.max(1, count)
  }
}
