import type { Redis } from 'ioredis'
import type { AnyQueue } from '../../define/queue.ts'
import { termsText } from './settings.ts'

/** Tenants whose terms this process remembers having written, for each queue. */
const mostRemembered = 10_000

/** Terms that a queue file computes for each tenant: the store has to know them before a job of the tenant waits. */
export class TermsWriter {
  readonly #redis: Redis
  readonly #prefix: string
  readonly #written = new Map<string, string>()

  constructor(redis: Redis, prefix: string) {
    this.#redis = redis
    this.#prefix = prefix
  }

  /** Undefined when there is nothing to wait for. Throws what the queue's functions throw. */
  ensure({ name, tenant: policy }: AnyQueue, tenant: string): Promise<void> | undefined {
    if (!policy || policy.isUniform) return undefined
    const text = termsText(policy.termsOf(tenant))
    const at = `${name}\n${tenant}`
    if (this.#written.get(at) === text) return undefined
    return this.#write(name, tenant, text, at)
  }

  async #write(queue: string, tenant: string, text: string, at: string): Promise<void> {
    await this.#redis.hset(`${this.#prefix}:${queue}:gate:terms`, tenant, text)
    if (this.#written.size >= mostRemembered) this.#written.clear()
    this.#written.set(at, text)
  }
}
