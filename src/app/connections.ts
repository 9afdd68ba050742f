import type { Logger } from '../observe/log.ts'

/** So long nothing more is said of a connection that was lost. */
const quietMs = 5_000

/** One line when a connection is lost, not one for each attempt to get it back. */
export function logConnection(log: Logger, purpose: string): (error: Error) => void {
  let last = 0
  return (error) => {
    if (Date.now() - last < quietMs) return
    last = Date.now()
    log.warn({ err: error, connection: purpose }, 'store connection; reconnecting')
  }
}
