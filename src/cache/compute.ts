import { setTimeout as sleep } from 'node:timers/promises'
import { messageOf } from '../errors.ts'
import { release } from '../redis/lock.ts'
import { away, type Core, counted, epochKey, freshToken, hold, judged, type Ref, read, tagKeys, tried } from './core.ts'
import { type Entry, type Packed, pack, unpack } from './entry.ts'
import { earlyOf } from './local.ts'
import { slide } from './many.ts'
import type { Policy } from './presets.ts'
import { acquire, renew, store } from './scripts.ts'
import type { Counts } from './stats.ts'
import { StoreAway } from './store.ts'

export type Compute = (given: { signal: AbortSignal }) => unknown

/** One request for one entry. */
export type Asked = {
  readonly ref: Ref
  readonly policy: Policy
  readonly counts: Counts
  readonly compute: Compute
  readonly isBehind?: boolean
}

/** How often a waiting caller looks: at first often, because most computations are short. */
const [firstLookMs, lastLookMs] = [5, 50]
/** Versions outlive what they are of, also when a computation takes its time. */
export const versionMs = 3_600_000

/**
 * An entry that is not at hand: from the store, or computed, by one caller in all processes. `land` is called when it is
 * there, or will not be.
 */
export function load(core: Core, asked: Asked, land: () => void): Promise<unknown> {
  const { ref, policy } = asked
  if (policy.tags.length > 0) return search(core, asked).finally(land)
  const told = core.local.told
  // The usual hit by itself, with as few promises as there can be: they would cost as much as the command.
  return core.reads.get(ref.key).then(
    (text) => {
      const entry = text === null ? undefined : unpack(text)
      if (entry !== undefined && !(entry instanceof Promise) && entry.tags === undefined) {
        const now = core.now()
        if (now < entry.freshUntil) {
          const value = hit(core, asked, entry, { now, told })
          land()
          return value
        }
      }
      return (text === null ? computeOnce(core, asked, '') : search(core, asked, text)).finally(land)
    },
    (error: unknown) => {
      if (!(error instanceof StoreAway)) core.log.warn({ err: error, key: ref.key }, 'the cache cannot use this key')
      return alone(core, asked).finally(land)
    },
  )
}

/** With tags, old values, and whatever else needs another look. `text` when it has been read already. */
async function search(core: Core, asked: Asked, text?: Buffer): Promise<unknown> {
  const { ref, policy, counts } = asked
  const told = core.local.told
  const found = await tried(core, ref, text ? judged(core, ref, text, [], []) : read(core, ref, policy))
  if (found === away) return alone(core, asked)
  const { entry, seen } = found
  if (!entry) return computeOnce(core, asked, seen)
  const now = core.now()
  if (now < entry.freshUntil) return hit(core, asked, entry, { now, told })
  if (now >= entry.freshUntil + policy.staleMs) return computeOnce(core, asked, seen)
  counted(core, counts).stale++
  refresh(core, asked, seen)
  return entry.value
}

function hit(core: Core, asked: Asked, entry: Entry, { now, told }: { now: number; told: number }): unknown {
  counted(core, asked.counts).l2++
  const random = core.random()
  core.local.hold(asked.ref, entry, { now, told, random })
  if (entry.sliding) slide(core, asked.ref.key, entry.ttlMs)
  if (now >= earlyOf(entry, random)) refresh(core, asked, entry.id)
  return entry.value
}

/** Computes anew while everybody still gets what there is. */
export function refresh(core: Core, asked: Asked, seen: string): void {
  const { ref } = asked
  if (core.refreshing.has(ref.key)) return
  core.refreshing.add(ref.key)
  refreshed(core, asked, seen)
    .catch((error: unknown) => core.log.warn({ err: error, key: ref.key }, 'computing a cache entry anew failed'))
    .finally(() => core.refreshing.delete(ref.key))
}

/** Whether this call computed and stored it; false when there is a newer one, or somebody else is at it, or the store away. */
export async function refreshed(core: Core, asked: Asked, seen: string): Promise<boolean> {
  const turn = await tried(core, asked.ref, takeTurn(core, asked, seen))
  if (turn === away || turn.at !== 'ours') return false
  return (await computeInTurn(core, { ...asked, isBehind: true }, turn)).isStored
}

type Ours = {
  readonly at: 'ours'
  readonly token: string
  readonly epoch: string
  readonly versions: readonly string[]
}
type Turn = Ours | { readonly at: 'taken' } | { readonly at: 'done' }

async function computeOnce(core: Core, asked: Asked, seenAtFirst: string): Promise<unknown> {
  const { ref, policy, counts } = asked
  const began = performance.now()
  let seen = seenAtFirst
  let look = firstLookMs
  for (;;) {
    const turn = await tried(core, ref, takeTurn(core, asked, seen))
    if (turn === away) return alone(core, asked)
    if (turn.at === 'ours') return (await computeInTurn(core, asked, turn)).value
    if (turn.at === 'done') {
      const told = core.local.told
      const found = await tried(core, ref, read(core, ref, policy))
      if (found === away) return alone(core, asked)
      if (found.entry && core.now() < found.entry.freshUntil) {
        counted(core, counts).waited++
        hold(core, ref, found.entry, told)
        return found.entry.value
      }
      seen = found.seen
      continue
    }
    if (performance.now() - began > core.settings.patienceMs) {
      core.log.warn({ key: ref.key, waitedMs: core.settings.patienceMs }, 'somebody computes this for too long')
      counted(core, counts).computed++
      // Not kept: whoever holds the lock may know better, or what this one computes may be invalid by now.
      return asked.compute(givenBy(core))
    }
    await sleep(look + core.random() * look)
    look = Math.min(look * 2, lastLookMs)
  }
}

async function takeTurn(core: Core, { ref, policy }: Asked, seen: string): Promise<Turn> {
  const token = freshToken()
  const keep = policy.ttlMs + policy.staleMs + versionMs
  const answer = (await core.store.ask((redis) =>
    acquire(
      redis,
      [ref.key, ref.lock, epochKey(core, ref.room), ...policy.tags.map((tag) => tagKeys(core, ref.room, tag).version)],
      [seen, token, core.settings.lockMs, freshToken(), keep],
    ),
  )) as [number, string, ...string[]]
  if (answer[0] === 0) return { at: 'taken' }
  if (answer[0] === 2) return { at: 'done' }
  return { at: 'ours', token, epoch: answer[1], versions: answer.slice(2) as string[] }
}

/** Computes while holding the lock, stores when it is still held, and gives it back in any case. */
async function computeInTurn(
  core: Core,
  asked: Asked,
  { token, epoch, versions }: Ours,
): Promise<{ value: unknown; isStored: boolean }> {
  const { ref, policy, counts } = asked
  const giveBack = () =>
    tried(
      core,
      ref,
      core.store.ask((redis) => release(redis, ref.lock, token)),
    )
  const began = performance.now()
  const renewal = setInterval(() => {
    if (performance.now() - began > core.settings.holdMs) return clearInterval(renewal)
    void tried(
      core,
      ref,
      core.store.ask((redis) => renew(redis, [ref.lock], [token, core.settings.lockMs])),
    )
  }, core.settings.lockMs / 3)
  renewal.unref()
  let made: Made
  try {
    made = await make(core, asked, versions)
  } catch (error) {
    await giveBack()
    throw error
  } finally {
    clearInterval(renewal)
  }
  const { packed } = made
  if (!packed || packed.px <= 0) {
    await giveBack()
    return { value: made.value, isStored: false }
  }
  const told = core.local.told
  const { version: versionsOf, index: indexesOf } = keysOfTags(core, ref, policy.tags)
  const stored = await tried(
    core,
    ref,
    core.store.ask((redis) =>
      store(
        redis,
        [ref.key, ref.lock, epochKey(core, ref.room), ...versionsOf, ...indexesOf],
        [token, packed.text, packed.px, core.now(), policy.tags.length, epoch, ...versions],
      ),
    ),
  )
  if (stored === 1) counted(core, counts).storedBytes += packed.text.length
  if (stored === 1 || stored === away) hold(core, ref, packed.entry, told)
  return { value: packed.entry.value, isStored: stored === 1 }
}

/** With nobody to ask who else is at it. It is kept at hand, for a minute at most. */
async function alone(core: Core, asked: Asked): Promise<unknown> {
  counted(core, asked.counts).error++
  const told = core.local.told
  const { value, packed } = await make(core, asked, [])
  if (packed && packed.px > 0) hold(core, asked.ref, packed.entry, told)
  return value
}

type Made = { readonly value: unknown; readonly packed: Packed | undefined }

/** Computes. What no store could keep is given as it is. */
async function make(
  core: Core,
  { ref, policy, counts, compute, isBehind }: Asked,
  versions: readonly string[],
): Promise<Made> {
  const began = performance.now()
  counted(core, counts)[isBehind ? 'refreshed' : 'computed']++
  const value = await compute(givenBy(core))
  const costMs = performance.now() - began
  try {
    const packed = await pack(value, policy, { now: core.now(), costMs, versions })
    if (!packed) counts.refused++
    else counts.rawBytes += packed.entry.bytes
    counted(core, counts)
    if (!packed) core.log.warn({ key: ref.key }, 'a value of more than 1 MB is not cached')
    return { value: packed ? packed.entry.value : value, packed }
  } catch (error) {
    counted(core, counts).refused++
    core.log.warn({ key: ref.key, reason: messageOf(error) }, 'a value that is not JSON is not cached')
    return { value, packed: undefined }
  }
}

export function keysOfTags(core: Core, ref: Ref, tags: readonly string[]): { version: string[]; index: string[] } {
  const all = tags.map((tag) => tagKeys(core, ref.room, tag))
  return { version: all.map(({ version }) => version), index: all.map(({ index }) => index) }
}

/** The signal is made for whoever asks for it. */
function givenBy(core: Core): { signal: AbortSignal } {
  return {
    get signal() {
      return AbortSignal.any([core.stopping, AbortSignal.timeout(core.settings.holdMs)])
    },
  }
}
