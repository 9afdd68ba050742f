import { messageOf } from '../errors.ts'
import type { Core } from './core.ts'
import { forgetPattern } from './invalidate.ts'
import { StoreAway } from './store.ts'

/** More than this of one process, and all of a tenant goes instead: too much is a computation, too little is a wrong answer. */
const maxOwed = 1_000

/** Does it, or as soon as the store is back; then the answer is undefined. In this process it is done in any case. */
export async function doneOrOwed<T>(
  core: Core,
  { room, what }: { room: string; what: string },
  invalidate: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await invalidate()
  } catch (error) {
    if (!(error instanceof StoreAway)) throw error
    core.log.warn({ what, reason: messageOf(error) }, 'the cache store is away: this is invalidated when it is back')
    if (core.owed.size < maxOwed) core.owed.set(`${room}|${what}`, invalidate)
    else core.owed.set(`${room}|*`, () => forgetPattern(core, room, '*'))
    return undefined
  }
}

/** Throws when the store is away still; the rest stays owed. */
export async function payOwed(core: Core): Promise<void> {
  if (core.owed.size === 0 || core.store.circuit.stateAt(core.now()) === 'open') return
  for (const [what, invalidate] of core.owed) {
    await invalidate()
    if (core.owed.get(what) === invalidate) core.owed.delete(what)
  }
}
