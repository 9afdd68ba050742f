import type { Publish } from '../define/services.ts'
import { MillraceError } from '../errors.ts'
import type { Store } from './messages.ts'

/** Nobody's work waits longer for what is only shown to listeners. */
export const publishWithinMs = 50

/** After a message that was not stored in time nobody waits for the next ones for so long: a job with ten of them would wait ten times. */
const restMs = 1_000

/**
 * For code that has better things to do than to worry about listeners: resolves when the message is stored, or with nothing
 * done when the store is away. Only what is wrong with the message itself is thrown.
 */
export function createPublish(
  store: Store,
  count: (outcome: 'stored' | 'failed') => void,
): (tenant: string | undefined) => Publish {
  let restUntil = Number.NEGATIVE_INFINITY
  return (tenant) => async (topic, data) => {
    const isResting = performance.now() < restUntil
    let isCounted = false
    const counted = (outcome: 'stored' | 'failed') => {
      if (!isCounted) count(outcome)
      isCounted = true
    }
    const stored = store(tenant, topic, data).then(
      () => counted('stored'),
      (error: unknown) => {
        if (error instanceof MillraceError) throw error
        counted('failed')
      },
    )
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      const over = () => {
        if (!isResting) {
          // What comes of one that nobody waited for is counted when it is known.
          counted('failed')
          restUntil = performance.now() + restMs
        }
        resolve()
      }
      // A process that was busy for so long has the answer already, but has not read it yet.
      timer = setTimeout(() => setImmediate(over), isResting ? 0 : publishWithinMs)
    })
    await Promise.race([stored, late])
    clearTimeout(timer)
  }
}
