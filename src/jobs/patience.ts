/** A stop waits this long for a store that is away. */
const awayMs = 500
const lookMs = 50

/**
 * BullMQ's close() waits for the store without limit. Past the deadline, or with nothing in hand and the store away, there
 * is nothing to wait for: what could not be finished comes back when its lock has run out. Resolves with true then.
 */
export function untilPointless({ deadline, isAway }: { deadline: number; isAway: () => boolean }): {
  promise: Promise<true>
  cancel: () => void
} {
  let timer: NodeJS.Timeout | undefined
  let awaySince = Number.POSITIVE_INFINITY
  const promise = new Promise<true>((resolve) => {
    timer = setInterval(() => {
      awaySince = isAway() ? Math.min(awaySince, Date.now()) : Number.POSITIVE_INFINITY
      if (Date.now() >= deadline || Date.now() - awaySince >= awayMs) resolve(true)
    }, lookMs)
  })
  return { promise, cancel: () => clearInterval(timer) }
}
