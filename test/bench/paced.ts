const tickMs = 2

/** Begins with so many a second, however long each takes, and resolves with what they came to when all have ended. */
export async function paced<T>(rate: number, seconds: number, begin: (n: number) => Promise<T>): Promise<T[]> {
  const began = performance.now()
  const begun: Promise<T>[] = []
  await new Promise<void>((resolve) => {
    const timer = setInterval(() => {
      const elapsed = performance.now() - began
      const due = Math.min(rate * seconds, Math.floor((elapsed / 1_000) * rate))
      while (begun.length < due) begun.push(begin(begun.length))
      if (elapsed < seconds * 1_000) return
      clearInterval(timer)
      resolve()
    }, tickMs)
  })
  return Promise.all(begun)
}

/** The value below which that share of them is. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}
