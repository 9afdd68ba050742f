/** Waits until `holds` gives something truthy, and gives that. For states that announce themselves to nobody. */
export async function until<T>(holds: () => Promise<T> | T, what: string, timeoutMs = 45_000): Promise<NonNullable<T>> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const value = await holds()
    if (value) return value
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
