import type { AnyQueue, PayloadInput } from '../define/queue.ts'
import type { Enqueue, EnqueueOptions } from '../define/worker.ts'
import { dedupeOf, jsonOf } from '../jobs/producer.ts'

/** A job that was enqueued, with its payload as it would be stored. */
export type Sent<Q extends AnyQueue = AnyQueue> = {
  readonly id: string
  readonly queue: Q
  readonly payload: PayloadInput<Q>
  readonly options: EnqueueOptions
}

/** An `enqueue` that stores nothing and remembers everything. Refuses what the real one refuses. */
export type FakeEnqueue = Enqueue & {
  /** In the order in which they came; repetitions are none. */
  readonly all: readonly Sent[]
  /** Those of one queue, with its type of payload. */
  to<Q extends AnyQueue>(queue: Q): readonly Sent<Q>[]
  /** The one job of the queue. Throws when there is none, or more than one. */
  only<Q extends AnyQueue>(queue: Q): Sent<Q>
  /** The next call is rejected with this, as by a store that is away. */
  failNext(error: Error): void
  clear(): void
}

/**
 * A key (`dedupeKey`, or the queue's `dedupe` in mode 'once') holds until `clear()`: a second job with it is a duplicate. The other
 * modes of `dedupe` are about jobs that wait or run, of which there are none here: all that is sent is remembered.
 */
export function fakeEnqueue(): FakeEnqueue {
  const sent: Sent[] = []
  let count = 0
  let failure: Error | undefined
  const held = new Map<string, string>()

  const enqueue: Enqueue = async (queue, payload, options = {}) => {
    const json = await jsonOf(queue, payload)
    if (failure) {
      const error = failure
      failure = undefined
      throw error
    }
    const dedupe = dedupeOf(queue, payload, options)
    const key = dedupe && `${queue.name} ${dedupe.id}`
    const first = key === undefined ? undefined : held.get(key)
    if (first !== undefined) return { id: first, duplicate: true }
    count += 1
    const id = `fake-${count}`
    if (key !== undefined) held.set(key, id)
    sent.push({ id, queue, payload: JSON.parse(json), options })
    return { id, duplicate: false }
  }
  const to = <Q extends AnyQueue>(queue: Q) => sent.filter((one): one is Sent<Q> => one.queue.name === queue.name)

  return Object.assign(enqueue, {
    all: sent,
    to,
    only<Q extends AnyQueue>(queue: Q): Sent<Q> {
      const [first, ...more] = to(queue)
      if (first && more.length === 0) return first
      const others = [...new Set(sent.map((one) => one.queue.name))].filter((name) => name !== queue.name)
      const found = first ? `${more.length + 1} jobs` : 'no job'
      throw new Error(
        `${found} for '${queue.name}' instead of one${others.length > 0 ? `; there are some for ${others.join(', ')}` : ''}`,
      )
    },
    failNext: (error: Error) => {
      failure = error
    },
    clear: () => {
      sent.length = 0
      held.clear()
      failure = undefined
    },
  })
}
