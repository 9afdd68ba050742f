import type { AnyQueue } from '../define/queue.ts'
import { validate } from '../define/schema.ts'
import type { ChainEnqueue, Enqueue, EnqueueOptions } from '../define/worker.ts'
import { MillraceError } from '../errors.ts'
import type { Attempt } from './attempt.ts'
import { stringify } from './producer.ts'

/** A repetition comes when the retry's wait or a dead worker's lock has run out; in a day somebody has noticed the rest. */
const leastWindowMs = 86_400_000
/** A store that is away is asked again in place: the handler has done its work and should not do it twice for that. */
const firstPauseMs = 250
const longestPauseMs = 5_000

type Link = { readonly queue: AnyQueue; readonly payload: unknown; readonly options: EnqueueOptions }

/** The jobs that an attempt is to leave behind, stored when it has succeeded. */
export class Chain {
  readonly #store: Enqueue
  readonly #from: { readonly queue: AnyQueue; readonly id: string }
  readonly enqueue: ChainEnqueue
  #links: Link[] = []
  readonly #checks: Promise<void>[] = []
  /** How many there are for each queue. */
  readonly #counts = new Map<string, number>()
  #isOver = false

  constructor(from: { readonly queue: AnyQueue; readonly id: string }, store: Enqueue) {
    this.#from = from
    this.#store = store
    this.enqueue = Object.assign(
      (queue: AnyQueue, payload: unknown, options?: EnqueueOptions) => this.#add(queue, payload, options),
      { now: store },
    )
  }

  /**
   * Not async: a payload that does not fit throws where it stands, also where nobody waits for the promise. With an asynchronous
   * schema it rejects, and the attempt fails even if nobody looks.
   */
  #add(queue: AnyQueue, payload: unknown, options: EnqueueOptions = {}): Promise<void> {
    if (this.#isOver) throw new Error(`enqueue() for '${queue?.name}' came after the attempt had ended: await it`)
    // As it is now: the handler may go on changing it.
    const stored: unknown = JSON.parse(stringify(queue, payload))
    const checked = validate(queue.payload, stored, `job for '${queue.name}'`)
    this.#links.push({ queue, payload: stored, options: this.#optionsOf(queue, options) })
    if (!(checked instanceof Promise)) return Promise.resolve()
    const check = checked.then(() => {})
    check.catch(() => {})
    this.#checks.push(check)
    return check
  }

  /** The same job whenever this attempt's n-th for the queue is stored again. The queue's own rule goes before ours. */
  #optionsOf(queue: AnyQueue, options: EnqueueOptions): EnqueueOptions {
    const n = (this.#counts.get(queue.name) ?? 0) + 1
    this.#counts.set(queue.name, n)
    if (options.dedupeKey !== undefined || queue.dedupe !== undefined) return { ...options }
    const { name, retry } = this.#from.queue
    const windowMs = Math.max(leastWindowMs, 2 * retry.maxMs)
    return { ...options, dedupeKey: `chain ${name} ${this.#from.id} ${n}`, dedupeFor: `${windowMs}ms` }
  }

  /** Stores them, in order for each queue. Throws when one cannot be stored; then the attempt has to be repeated. */
  async send(attempt: Pick<Attempt, 'aborted'>): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#checks)
    for (let pause = firstPauseMs; this.#links.length > 0; pause = Math.min(2 * pause, longestPauseMs)) {
      // All in one turn, so that those of one queue share a call.
      const sent = await Promise.allSettled(
        this.#links.map(({ queue, payload, options }) => this.#store(queue, payload as never, options)),
      )
      const failure = sent.find((one) => one.status === 'rejected')?.reason
      if (failure === undefined) return
      this.#links = this.#links.filter((_, i) => sent[i]?.status === 'rejected')
      const mayPass = failure instanceof MillraceError && failure.code === 'store-unavailable'
      if (!mayPass || attempt.aborted) throw failure
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
  }

  /** Nothing of it is stored any more. */
  close(): void {
    this.#isOver = true
  }
}
