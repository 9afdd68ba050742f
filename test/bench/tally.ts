/** What a worker that is measured counts, and how it tells. */
export function tally() {
  let handled = 0
  let waits: number[] = []
  process.on('message', (message) => {
    if (message === 'waits') {
      const sorted = waits.sort((a, b) => a - b)
      const at = (share: number) => sorted[Math.floor((sorted.length - 1) * share)]
      process.send?.({ p50: at(0.5), p99: at(0.99) })
      return
    }
    process.send?.(handled)
    if (message === 'reset') {
      handled = 0
      waits = []
    }
  })
  process.on('SIGTERM', () => process.exit(0))
  process.on('disconnect', () => process.exit(0))
  return (payload: unknown) => {
    handled += 1
    const { sentAt } = payload as { sentAt?: number }
    if (sentAt !== undefined) waits.push(performance.timeOrigin + performance.now() - sentAt)
  }
}
