import { keys } from '../redis/keys.ts'
import { room } from '../redis/room.ts'
import { type Core, tagKeys } from './core.ts'
import type { CacheEngine } from './engine.ts'
import { entriesLike, forgetHere, forgetPattern, forgetTag, type Progress, stepMs } from './invalidate.ts'
import { escapeMatch } from './name.ts'
import type { Message } from './told.ts'

/** What is to go: of one tenant, or of all (`tenant` undefined); everything, or by pattern or tag. */
export type FlushWhat = { readonly tenant?: string; readonly pattern?: string; readonly tag?: string }
/** `room` is the tenant as it is written in keys; `~` those without one. */
export type FlushCount = { readonly room: string; readonly entries: number }

/** How many entries would go, by tenant. Of a tag it is how many were stored under it and should still be there. */
export async function countFlush({ core }: CacheEngine, what: FlushWhat): Promise<readonly FlushCount[]> {
  const counts: FlushCount[] = []
  for (const own of await roomsOf(core, what)) {
    let entries = 0
    if (what.tag !== undefined) {
      const { index } = tagKeys(core, own, what.tag)
      entries = await core.store.ask((redis) => redis.zcount(index, core.now(), '+inf'), stepMs)
    } else for await (const found of entriesLike(core, own, what.pattern ?? '*')) entries += found.length
    if (entries > 0 || what.tenant !== undefined) counts.push({ room: own, entries })
  }
  return counts
}

/** Takes them away and tells all processes, with what they are computing just now. Throws where the store does not take it. */
export async function flush({ core }: CacheEngine, what: FlushWhat, onProgress: Progress = () => {}): Promise<number> {
  let gone = 0
  for (const own of await roomsOf(core, what)) {
    const before = gone
    gone +=
      what.tag !== undefined
        ? await forgetTag(core, own, what.tag)
        : await forgetPattern(core, own, what.pattern ?? '*', (more) => onProgress(before + more))
    onProgress(gone)
  }
  if (what.tenant === undefined) {
    // Processes may have at hand what the store has evicted, of tenants of whom nothing is left there.
    const message: Message =
      what.tag === undefined ? { forget: 'pattern', pattern: what.pattern ?? '*' } : { forget: 'tag', tag: what.tag }
    await core.store.ask((redis) => redis.publish(core.told.channel, core.told.write(message)), stepMs)
    forgetHere(core, message)
  }
  return gone
}

/** Of whom there are entries, or who compute their first. */
async function roomsOf(core: Core, { tenant }: FlushWhat): Promise<readonly string[]> {
  if (tenant !== undefined) return [room(tenant)]
  const rooms = new Set<string>()
  for (const start of [keys.cacheEntry(core.prefix), keys.cacheLock(core.prefix)]) {
    const match = `${escapeMatch(start)}*`
    let cursor = '0'
    do {
      const [next, found] = await core.store.ask((redis) => redis.scan(cursor, 'MATCH', match, 'COUNT', 500), stepMs)
      for (const key of found) rooms.add(key.slice(start.length, key.indexOf(':', start.length)))
      cursor = next
    } while (cursor !== '0')
  }
  return [...rooms].sort()
}
