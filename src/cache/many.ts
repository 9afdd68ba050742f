import { away, type Core, counted, hold, judged, type Read, type Ref, tried } from './core.ts'
import type { Held } from './local.ts'
import type { Counts } from './stats.ts'

/** Entries by their refs, in their order; all that are not at hand with one MGET. */
export async function readMany(core: Core, refs: readonly Ref[], counts: Counts): Promise<unknown[]> {
  const now = core.now()
  const told = core.local.told
  const values = new Map<string, unknown>()
  for (const { key } of refs) {
    const held = core.local.find(key)
    if (!held || now >= held.end) continue
    values.set(key, held.value)
    if (held.sliding) slide(core, key, held.ttlMs)
  }
  const missing = [...new Map(refs.map((ref) => [ref.key, ref])).values()].filter(({ key }) => !values.has(key))
  counted(core, counts).l1 += refs.length - missing.length
  const [first] = missing
  if (!first) return refs.map(({ key }) => values.get(key))
  const asked = core.store.ask((redis) => redis.mgetBuffer(missing.map(({ key }) => key)))
  const texts = await tried(core, first, asked)
  if (texts === away) counted(core, counts).error += missing.length
  await Promise.all(
    missing.map(async (ref, i) => {
      const text = texts === away ? null : texts[i]
      const answer = text ? await tried(core, ref, judged(core, ref, text, [], [])) : undefined
      const read = answer === undefined || answer === away ? { entry: undefined, seen: '' } : answer
      values.set(ref.key, taken(core, ref, read, { told, counts })?.value)
    }),
  )
  return refs.map(({ key }) => values.get(key))
}

/** What was read, if it is fresh: counted either way, and kept at hand. */
export function taken(
  core: Core,
  ref: Ref,
  { entry }: Read,
  { told, counts }: { told: number; counts: Counts },
): { value: unknown; held: Held | undefined } | undefined {
  if (!entry || core.now() >= entry.freshUntil) {
    counted(core, counts).miss++
    return undefined
  }
  counted(core, counts).l2++
  if (entry.sliding) slide(core, ref.key, entry.ttlMs)
  return { value: entry.value, held: hold(core, ref, entry, told) }
}

/** Starts its time anew. Nobody waits for it. One that is gone from the store is not kept at hand either. */
export function slide(core: Core, key: string, ttlMs: number): void {
  core.store
    .ask((redis) => redis.pexpire(key, ttlMs))
    .then(
      (isThere) => {
        if (isThere === 0) core.local.drop([key])
      },
      () => {},
    )
}
