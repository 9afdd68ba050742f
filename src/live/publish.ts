import type { Publish } from '../define/services.ts'
import { MillraceError } from '../errors.ts'
import type { Store } from './messages.ts'

/** Nobody's work waits longer for what is only shown to listeners. */
export const publishWithinMs = 50

/**
 * For code that has better things to do than to worry about listeners: resolves when the message is stored, or with nothing
 * done when the store is away. Only what is wrong with the message itself is thrown.
 */
export function createPublish(
  store: Store,
  count: (outcome: 'stored' | 'failed') => void,
): (tenant: string | undefined) => Publish {
  return (tenant) => async (topic, data) => {
    let isLate = false
    const stored = store(tenant, topic, data).then(
      () => {
        if (!isLate) count('stored')
      },
      (error: unknown) => {
        if (error instanceof MillraceError) throw error
        if (!isLate) count('failed')
      },
    )
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        // A process that was busy for so long has the answer already, but has not read it yet.
        setImmediate(() => {
          isLate = true
          resolve()
        })
      }, publishWithinMs)
    })
    await Promise.race([stored.then(() => true), late.then(() => false)]).then((isDone) => {
      if (!isDone) count('failed')
    })
    clearTimeout(timer)
  }
}
