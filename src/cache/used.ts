import { LRUCache } from 'lru-cache'
import type { CacheOptions } from '../define/services.ts'
import { keys } from '../redis/keys.ts'
import type { CacheStore } from './store.ts'
import type { View } from './view.ts'

/** A function that was given to `cached`: what can be computed again without anybody asking. */
export type Learnt = {
  readonly view: View
  readonly keyOf: (args: readonly unknown[]) => string
  readonly compute: (args: readonly unknown[]) => unknown
  readonly options: CacheOptions
}

/** One use in so many is written down, on average: which keys are used most is as clear from a sample. */
export const sampleEvery = 16
/** Bounds of what is remembered: functions, keys of a tenant between two flushes, keys of a tenant and hour in the store. */
const [maxLearnt, maxNoted, maxStored] = [1_000, 1_000, 1_000]
/** Arguments that are a document are no key that many ask for. */
const maxArgs = 500
const hourMs = 3_600_000
/** The last day, in hours. */
const hours = 24

export class Used {
  readonly #learnt = new LRUCache<string, Learnt>({ max: maxLearnt })
  readonly #random: () => number
  #noted = new Map<string, Map<string, number>>()
  #skip = 1

  constructor(random: () => number) {
    this.#random = random
  }

  learn(room: string, name: string, learnt: Learnt): void {
    this.#learnt.set(`${room}:${name}`, learnt)
  }

  learntOf(room: string, name: string): Learnt | undefined {
    return this.#learnt.get(`${room}:${name}`)
  }

  /** Costs a subtraction, most of the time. */
  note(room: string, name: string, args: readonly unknown[]): void {
    if (--this.#skip > 0) return
    // Not each sixteenth: callers that go round would show the same key each time.
    this.#skip = 1 + Math.floor(this.#random() * (2 * sampleEvery - 1))
    const member = memberOf(name, args)
    if (member === undefined) return
    let noted = this.#noted.get(room)
    if (!noted) {
      if (this.#noted.size >= maxNoted) return
      noted = new Map()
      this.#noted.set(room, noted)
    }
    if (noted.size < maxNoted || noted.has(member)) noted.set(member, (noted.get(member) ?? 0) + 1)
  }

  /** Tells the store what was noted since the last time. Best effort: what does not get there is lost. */
  async flush(store: CacheStore, prefix: string, now: number): Promise<void> {
    const noted = this.#noted
    this.#noted = new Map()
    for (const [room, members] of noted) {
      const key = usedKey(prefix, hourOf(now), room)
      await store.ask((redis) => {
        const pipeline = redis.pipeline()
        for (const [member, count] of members) pipeline.zincrby(key, count, member)
        pipeline.zremrangebyrank(key, 0, -maxStored - 1)
        pipeline.pexpire(key, (hours + 1) * hourMs)
        return pipeline.exec()
      })
    }
  }
}

export type UsedKey = { readonly name: string; readonly args: readonly unknown[]; readonly uses: number }

/** What a tenant used most in the last day, most used first. */
export async function mostUsed(
  store: CacheStore,
  { prefix, room, now, top }: { prefix: string; room: string; now: number; top: number },
): Promise<readonly UsedKey[]> {
  const all = Array.from({ length: hours + 1 }, (_, i) => usedKey(prefix, hourOf(now) - i, room))
  const found = await store.ask((redis) => redis.zunion(all.length, ...all, 'WITHSCORES'), 2_000)
  const flat = (found as unknown[]).flat().map(String)
  const used = flat.flatMap((member, i) => (i % 2 === 0 ? [{ member, uses: Number(flat[i + 1]) }] : []))
  return used
    .sort((a, b) => b.uses - a.uses)
    .slice(0, top)
    .map(({ member, uses }) => {
      const [name, args] = JSON.parse(member) as [string, unknown[]]
      return { name, args, uses: uses * sampleEvery }
    })
}

/** Rooms that used anything in the last day. */
export async function usedRooms(store: CacheStore, prefix: string, match: string): Promise<readonly string[]> {
  const start = keys.cacheUsed(prefix)
  const rooms = new Set<string>()
  let cursor = '0'
  do {
    const [next, found] = await store.ask((redis) => redis.scan(cursor, 'MATCH', match, 'COUNT', 500), 2_000)
    for (const key of found) {
      const own = key.slice(start.length)
      rooms.add(own.slice(own.indexOf(':') + 1))
    }
    cursor = next
  } while (cursor !== '0')
  return [...rooms].sort()
}

function memberOf(name: string, args: readonly unknown[]): string | undefined {
  try {
    const member = JSON.stringify([name, args])
    return member.length <= maxArgs ? member : undefined
  } catch {
    return undefined // cyclic, or a BigInt: nothing that could be read back
  }
}

function usedKey(prefix: string, hour: number, room: string): string {
  return `${keys.cacheUsed(prefix)}${hour}:${room}`
}

function hourOf(now: number): number {
  return Math.floor(now / hourMs)
}
