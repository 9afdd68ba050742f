import { setTimeout as sleep } from 'node:timers/promises'
import type { WarmOptions, WarmReport } from '../define/services.ts'
import type { AnyWarmer } from '../define/warmer.ts'
import { messageOf } from '../errors.ts'
import { keys } from '../redis/keys.ts'
import { refreshed } from './compute.ts'
import { away, type Core, read, tried } from './core.ts'
import { stepMs } from './invalidate.ts'
import { escapeMatch } from './name.ts'
import { StoreAway } from './store.ts'
import { type Learnt, mostUsed, type Used, usedRooms } from './used.ts'
import type { View } from './view.ts'

/** A minute for a hundred keys of ten tenants, and nothing that what is asked would notice. */
const defaults = { top: 100, perSecond: 20 }
/** An entry that has so much of its time left is left alone. */
const freshShare = 0.25
const maxErrors = 10

type Item = { readonly room: string; readonly name: string; readonly args: readonly unknown[] }

/** The rooms that are warmed: all that used anything in the last day, or the one that asks. */
export type Where = { readonly rooms: 'all' | string; readonly viewOf: (room: string) => View }

/**
 * Computes again what was used most, where it is known how: by a warmer, or by a function that this process has seen in `cached`.
 * What is fresh is left alone, and what is computed is stored as any other computation is: not over a newer one.
 */
export async function warm(
  core: Core,
  used: Used,
  { rooms: which, viewOf }: Where,
  { warmers = [], top = defaults.top, perSecond = defaults.perSecond, names, signal }: WarmOptions,
): Promise<WarmReport> {
  const began = performance.now()
  const report = { tenants: 0, warmed: 0, fresh: 0, busy: 0, unknown: 0, failed: 0, errors: [] as string[], tookMs: 0 }
  const wanted = (name: string) => names === undefined || names.includes(name)
  /** Misspelled, or not used by anybody in the last day. */
  const unmet = new Set(names?.filter((name) => !warmers.some((warmer) => warmer.name === name)))
  const byName = new Map(warmers.map((warmer) => [warmer.name, warmer]))
  const start = escapeMatch(keys.cacheUsed(core.prefix))
  const rooms = which === 'all' ? await usedRooms(core.store, core.prefix, `${start}*`) : [which]
  for (const room of rooms) {
    report.tenants++
    const found = await mostUsed(core.store, { prefix: core.prefix, room, now: core.now(), top })
    const always = warmers.flatMap(({ name, always = [] }) => always.map((args) => ({ name, args })))
    const items = [...always, ...found].filter(({ name }) => wanted(name)).map((item) => ({ room, ...item }))
    for (const item of once(items)) {
      unmet.delete(item.name)
      if (signal?.aborted) throw signal.reason
      const learnt = learntOf(used, viewOf, byName, item)
      if (!learnt) {
        report.unknown++
        continue
      }
      const at = performance.now()
      try {
        const outcome = await warmOne(core, learnt, item.args)
        report[outcome]++
        if (outcome === 'fresh') continue
      } catch (error) {
        // Nothing of the rest would be stored.
        if (error instanceof StoreAway) throw error
        report.failed++
        if (report.errors.length < maxErrors) report.errors.push(`${item.name}: ${messageOf(error)}`)
      }
      await sleep(Math.max(0, 1_000 / perSecond - (performance.now() - at)), undefined, signal ? { signal } : {})
    }
  }
  report.unknown += unmet.size
  await noteWarmed(core, which)
  return { ...report, tookMs: Math.round(performance.now() - began) }
}

async function warmOne(core: Core, learnt: Learnt, args: readonly unknown[]): Promise<'warmed' | 'fresh' | 'busy'> {
  const asked = learnt.view.asked(learnt.keyOf(args), () => learnt.compute(args), learnt.options)
  const { entry, seen } = await read(core, asked.ref, undefined)
  const left = entry ? entry.freshUntil - core.now() : 0
  if (entry && left > entry.ttlMs * freshShare) return 'fresh'
  const isStored = await refreshed(core, asked, seen)
  if (!isStored) {
    const now = await tried(core, asked.ref, read(core, asked.ref, undefined))
    if (now === away) throw new StoreAway('the cache store went away while it was warmed')
  }
  return isStored ? 'warmed' : 'busy'
}

function learntOf(
  used: Used,
  viewOf: (room: string) => View,
  warmers: ReadonlyMap<string, AnyWarmer>,
  { room, name }: Item,
): Learnt | undefined {
  const warmer = warmers.get(name)
  if (warmer) viewOf(room).cached(warmer.compute, warmer)
  return used.learntOf(room, name)
}

function once(items: readonly Item[]): readonly Item[] {
  return [...new Map(items.map((item) => [JSON.stringify([item.name, item.args]), item])).values()]
}

async function noteWarmed(core: Core, which: string): Promise<void> {
  const key = keys.cacheStats(core.prefix) + (which === 'all' ? '*' : which)
  const dayMs = 86_400_000
  // Nobody waits for it, and a minute's work is not to be for nothing because of it.
  await core.store.ask(
    (redis) => Promise.all([redis.hset(key, 'lastWarmedAt', core.now()), redis.pexpire(key, dayMs)]),
    stepMs,
  )
}
