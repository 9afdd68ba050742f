import { setImmediate as turn } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { keys } from '../redis/keys.ts'
import { type Core, epochKey, freshToken, type Ref, refOf, tagKeys } from './core.ts'
import type { Held } from './local.ts'
import { escapeMatch, matcherOf, matchOf } from './name.ts'
import type { Message } from './told.ts'

/** So many keys are looked at with one SCAN, and go with one UNLINK: redis-server is busy for less than a millisecond. */
const chunk = 500
/** An epoch is forgotten when nobody has computed for so long; then nobody computes who could have seen it. */
const epochMs = 86_400_000
/** How long a step of an invalidation may take. Nobody who waits for 50 ms asks for one. */
export const stepMs = 2_000

type Where = { readonly name: string; readonly room: string; readonly tags: readonly string[]; readonly key: string }

/** Forgets in this process what a message says, computations under way included: who asks from now on gets a new one. */
export function forgetHere(core: Core, message: Message): void {
  const fits = fitsOf(message)
  if (!fits) return
  if ('forget' in message && message.forget === 'keys') core.local.drop(message.keys)
  else core.local.dropWhere(fits as (held: Held) => boolean)
  for (const [key, { ref, tags }] of core.flights) if (fits({ ...ref, tags })) core.flights.delete(key)
}

function fitsOf(message: Message): ((where: Where) => boolean) | undefined {
  if (!('forget' in message)) return undefined
  const isIn = (room: string) => message.forget === 'keys' || message.room === undefined || room === message.room
  switch (message.forget) {
    case 'keys': {
      const all = new Set(message.keys)
      return ({ key }) => all.has(key)
    }
    case 'tag':
      return ({ room, tags }) => isIn(room) && tags.includes(message.tag)
    case 'pattern': {
      const matches = matcherOf(message.pattern)
      return ({ room, name }) => isIn(room) && matches(name)
    }
  }
}

/** Takes entries away, and the locks of who computes them: what these come to is not stored. */
export async function forgetKeys(core: Core, refs: readonly Ref[]): Promise<number> {
  const message: Message = { forget: 'keys', keys: refs.map(({ key }) => key) }
  // Before as well: with the store away this much is done all the same.
  forgetHere(core, message)
  try {
    const gone = await core.store.ask((redis) =>
      Promise.all([
        redis.unlink(refs.map(({ key }) => key)),
        redis.unlink(refs.map(({ lock }) => lock)),
        redis.publish(core.told.channel, core.told.write(message)),
      ]),
    )
    return gone[0]
  } finally {
    forgetHere(core, message)
  }
}

/** Throws where the store does not take it. */
export async function forgetTag(core: Core, room: string, tag: string): Promise<number> {
  const { version, index } = tagKeys(core, room, tag)
  const message: Message = { forget: 'tag', room, tag }
  const taken = `${index}:${freshToken()}`
  // Before as well: with the store away this much is done all the same.
  forgetHere(core, message)
  // From the first of these on nothing with the old version counts, wherever it is: what follows only tidies up.
  await core.store.ask(
    (redis) =>
      Promise.all([
        redis.del(version),
        redis.publish(core.told.channel, core.told.write(message)),
        redis.rename(index, taken).catch(() => {}),
      ]),
    stepMs,
  )
  forgetHere(core, message)
  let gone = 0
  for (;;) {
    const popped = await core.store.ask((redis) => redis.zpopmin(taken, chunk), stepMs)
    const found = popped.filter((_, i) => i % 2 === 0)
    if (found.length === 0) return gone
    const locks = found.map((key) => keys.cacheLock(core.prefix) + key.slice(keys.cacheEntry(core.prefix).length))
    gone += await core.store.ask((redis) => redis.unlink(found), stepMs)
    await core.store.ask((redis) => redis.unlink(locks), stepMs)
  }
}

export type Progress = (gone: number) => void

/** By pattern of the name; all of the room without one. Throws where the store does not take it. */
export async function forgetPattern(
  core: Core,
  room: string,
  pattern: string,
  onProgress: Progress = () => {},
): Promise<number> {
  const message: Message = { forget: 'pattern', room, pattern }
  forgetHere(core, message)
  // First: who began to compute before this may no longer store, however the search below meets it.
  // The others are told now, and again at the end: what they read meanwhile may have been found only later.
  const tell = (redis: Redis) => redis.publish(core.told.channel, core.told.write(message))
  await core.store.ask(
    (redis) => Promise.all([redis.set(epochKey(core, room), freshToken(), 'PX', epochMs), tell(redis)]),
    stepMs,
  )
  forgetHere(core, message)
  let gone = 0
  for await (const found of entriesLike(core, room, pattern)) {
    gone += await core.store.ask((redis) => redis.unlink(found), stepMs)
    onProgress(gone)
  }
  await core.store.ask(tell, stepMs)
  forgetHere(core, message)
  return gone
}

/** Keys of entries, a chunk at a time, never all at once. */
export async function* entriesLike(core: Core, room: string, pattern: string): AsyncGenerator<string[]> {
  const { key: start } = refOf(core, room, '')
  const match = escapeMatch(start) + matchOf(pattern)
  let cursor = '0'
  do {
    const [next, found] = await core.store.ask((redis) => redis.scan(cursor, 'MATCH', match, 'COUNT', chunk), stepMs)
    cursor = next
    if (found.length > 0) yield found
    // Others' commands, here and there, go between two chunks.
    await turn()
  } while (cursor !== '0')
}
