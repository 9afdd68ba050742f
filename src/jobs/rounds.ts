/** A duty that is done again and again, never twice at once. */
export type Rounds = {
  /** No further one begins. */
  quiet(): void
  /** No further one begins, and the one under way has ended. */
  stop(): Promise<void>
}

/** `round` deals with its own errors: the next one comes in any case. */
export function startRounds(everyMs: number, round: () => Promise<void>): Rounds {
  let underWay: Promise<void> | undefined
  const timer = setInterval(() => {
    underWay ??= round().finally(() => {
      underWay = undefined
    })
  }, everyMs).unref()
  return {
    quiet: () => clearInterval(timer),
    stop: async () => {
      clearInterval(timer)
      await underWay
    },
  }
}
