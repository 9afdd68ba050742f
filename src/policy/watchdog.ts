/** What a look at a worker shows. */
export type Look = {
  /** Since the last look. */
  readonly elapsedMs: number
  /** The store has answered a fetch since the last look. */
  readonly hasFetched: boolean
  /** It has a free slot and a connection, and nobody told it to rest. */
  readonly shouldFetch: boolean
  /** Jobs that it could have; undefined when the store does not say. Asked only once the silence is long. */
  readonly waiting: () => Promise<number | undefined>
}

/**
 * For how long a worker has been silent although it should fetch: the time before this look and what the look adds. Of
 * silence without waiting jobs no more than half of `boundMs` counts, so that work which comes after a quiet hour still has
 * half the bound.
 */
export async function silenceMs(before: number, look: Look, boundMs: number): Promise<number> {
  if (look.hasFetched || !look.shouldFetch) return 0
  const silence = before + look.elapsedMs
  if (silence <= boundMs / 2) return silence
  return (await look.waiting()) ? silence : boundMs / 2
}
