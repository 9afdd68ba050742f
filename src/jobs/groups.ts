import { type GroupMemory, remember } from '../policy/dead-groups.ts'
import { keys } from '../redis/keys.ts'
import type { BullQueue } from './bull.ts'
import { entries, findDead, Looked, readDead } from './dead.ts'

/*
 * Dead letters by cause. How many there are of each is counted when somebody asks, among the newest; when a cause was seen
 * first, and whether it came back after it had been dealt with, is remembered in a small hash: the jobs themselves are
 * retried and removed.
 */

/** Dead letters that are looked at to count the groups: half a second's reading. */
const mostLooked = 5_000
/** Causes that are remembered for a queue; those that were not seen for longest are forgotten. */
export const mostRemembered = 500
/** New dead letters that are taken notice of in one go; the rest is seen to the next time. */
const mostNoted = 5_000
/** More causes than these nobody reads. */
const mostListed = 200
const perRead = 500

/** Fields of the hash beside the groups: up to where notice was taken, and when a group was redriven. */
const seenField = '@seen'
const redrivenField = (group: string) => `@redriven:${group}`

export type DeadGroup = {
  readonly group: string
  readonly title: string
  readonly count: number
  readonly firstSeen: string
  readonly lastSeen: string
  /** A job of the group, the newest. */
  readonly sample: string
  /** When and after what it came back, if it did since it was dealt with. */
  readonly regression: { readonly at: string; readonly after: 'redriven' | 'quiet' } | null
}

export type DeadSummary = {
  readonly queue: string
  /** Null for somebody of one tenant: it would tell of the others. */
  readonly dead: number | null
  /** So many of them, the newest, were looked at to count the groups. */
  readonly looked: number
  /** How many groups they are; of more than 200 the most frequent are listed. */
  readonly causes: number
  readonly groups: readonly DeadGroup[]
}

/** A queue's dead letters by cause, the most frequent first. For somebody of one tenant only that tenant's. */
export async function deadGroups(queue: BullQueue, tenant?: string): Promise<DeadSummary> {
  // A store that takes no writes is no reason to show nothing.
  await noteDead(queue).catch(() => {})
  const progress = new Looked()
  const found = new Map<string, { title: string; count: number; first: number; last: number; sample: string }>()
  for await (const { group, title, diedAt, id } of findDead(queue, { tenant }, progress)) {
    const known = found.get(group)
    if (known) {
      known.count += 1
      known.first = Math.min(known.first, diedAt)
    } else found.set(group, { title, count: 1, first: diedAt, last: diedAt, sample: id })
    if (progress.read >= mostLooked) break
  }
  // What is remembered is of all tenants together.
  const memory = tenant === undefined ? await remembered(queue, [...found.keys()]) : new Map()
  const groups = [...found].map(([group, { title, count, first, last, sample }]): DeadGroup => {
    const known = memory.get(group) as GroupMemory | undefined
    const { back, why } = known ?? {}
    return {
      group,
      title,
      count,
      firstSeen: new Date(Math.min(first, known?.first ?? first)).toISOString(),
      lastSeen: new Date(last).toISOString(),
      sample,
      regression: back === undefined || why === undefined ? null : { at: new Date(back).toISOString(), after: why },
    }
  })
  groups.sort((a, b) => b.count - a.count || b.lastSeen.localeCompare(a.lastSeen))
  const dead = tenant === undefined ? await queue.redis.zcard(queue.toKey('failed')) : null
  return {
    queue: queue.name,
    dead,
    looked: progress.looked,
    causes: groups.length,
    groups: groups.slice(0, mostListed),
  }
}

async function remembered(queue: BullQueue, groups: readonly string[]): Promise<Map<string, GroupMemory>> {
  if (groups.length === 0) return new Map()
  const values = await queue.redis.hmget(queue.toKey(keys.deadGroups), ...groups)
  return new Map(groups.flatMap((group, i) => (values[i] ? [[group, JSON.parse(values[i]) as GroupMemory]] : [])))
}

/** Remembers that the group was redriven now: what dies of it from here on has come back. */
export async function noteRedriven(queue: BullQueue, groups: readonly string[], now: number): Promise<void> {
  if (groups.length === 0) return
  // What died up to now is no return.
  await noteDead(queue)
  const fields = groups.flatMap((group) => [redrivenField(group), String(now)])
  await queue.redis.hset(queue.toKey(keys.deadGroups), ...fields)
}

/**
 * Takes notice of what died since the last time. Several processes may do it at once: they see the same jobs and come to
 * the same.
 */
export async function noteDead(queue: BullQueue): Promise<void> {
  const key = queue.toKey(keys.deadGroups)
  let seen = Number((await queue.redis.hget(key, seenField)) ?? 0)
  for (let noted = 0; noted < mostNoted; noted += perRead) {
    const page = entries(
      await queue.redis.zrangebyscore(queue.toKey('failed'), seen, '+inf', 'WITHSCORES', 'LIMIT', 0, perRead),
    )
    const last = page.at(-1)
    // The last one that was seen is seen again, with those that died in the same millisecond.
    if (!last || (page.length === 1 && last[1] === seen && noted > 0)) return
    const isFull = page.length === perRead
    const next = isFull && last[1] === seen ? seen + 1 : last[1]
    await note(queue, key, page, next)
    if (!isFull) return
    seen = next
  }
}

async function note(
  queue: BullQueue,
  key: string,
  page: readonly (readonly [string, number])[],
  seen: number,
): Promise<void> {
  const jobs = (await readDead(queue, page)).flatMap(({ job }) => (job ? [job] : []))
  const groups = [...new Set(jobs.map(({ group }) => group))]
  const values = groups.length > 0 ? await queue.redis.hmget(key, ...groups, ...groups.map(redrivenField)) : []
  const known = new Map<string, GroupMemory>()
  const redriven = new Map<string, number>()
  groups.forEach((group, i) => {
    const [memory, at] = [values[i], values[groups.length + i]]
    if (memory) known.set(group, JSON.parse(memory) as GroupMemory)
    if (at) redriven.set(group, Number(at))
  })
  for (const { group, title, diedAt } of jobs)
    known.set(group, remember(known.get(group), { title, at: diedAt, redrivenAt: redriven.get(group) }))
  await queue.redis.hset(
    key,
    seenField,
    String(seen),
    ...[...known].flatMap(([group, memory]) => [group, JSON.stringify(memory)]),
  )
  await forgetOldest(queue, key)
}

async function forgetOldest(queue: BullQueue, key: string): Promise<void> {
  // Each group has up to two fields.
  if ((await queue.redis.hlen(key)) <= 2 * mostRemembered) return
  const all = Object.entries(await queue.redis.hgetall(key))
  const newest = all
    .filter(([field]) => !field.startsWith('@'))
    .map(([group, text]) => ({ group, last: (JSON.parse(text) as GroupMemory).last }))
    .sort((a, b) => b.last - a.last)
    .slice(0, mostRemembered / 2)
  const kept = new Set([seenField, ...newest.flatMap(({ group }) => [group, redrivenField(group)])])
  // Also of groups that were redriven when nothing was remembered of them any more.
  const doomed = all.map(([field]) => field).filter((field) => !kept.has(field))
  await queue.redis.hdel(key, ...doomed, '')
}
