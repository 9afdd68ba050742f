/** Resolves with the work, or without it after `ms` milliseconds. Rejects only when the work does before. */
export async function within(ms: number, work: Promise<unknown> | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, ms))
  })
  await Promise.race([work, late])
  clearTimeout(timer)
}
