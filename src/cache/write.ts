import type { Redis } from 'ioredis'
import { keysOfTags, versionMs } from './compute.ts'
import { away, type Core, counted, freshToken, hold, type Ref, tried } from './core.ts'
import { pack } from './entry.ts'
import { forgetHere } from './invalidate.ts'
import type { Held } from './local.ts'
import type { Policy } from './presets.ts'
import { put, versions } from './scripts.ts'
import type { Counts } from './stats.ts'
import type { Message } from './told.ts'

/** Stores what somebody says it is, and tells all processes that what they have is old. Throws TypeError for what is not JSON. */
export async function write(
  core: Core,
  ref: Ref,
  { value, policy, counts }: { value: unknown; policy: Policy; counts: Counts },
): Promise<Held | undefined | 'not kept'> {
  const ask = (command: (redis: Redis) => Promise<unknown>) => tried(core, ref, core.store.ask(command))
  const { version, index } = keysOfTags(core, ref, policy.tags)
  const found =
    version.length === 0 ? [] : await ask((redis) => versions(redis, version, [freshToken(), policy.ttlMs + versionMs]))
  const made = { now: core.now(), costMs: 0, versions: found === away ? [] : (found as string[]) }
  const packed = await pack(value, policy, made)
  if (!packed) {
    counted(core, counts).refused++
    core.log.warn({ key: ref.key }, 'a value of more than 1 MB is not cached')
  }
  if (!packed || packed.px <= 0) return 'not kept'
  const message: Message = { forget: 'keys', keys: [ref.key] }
  forgetHere(core, message)
  const { told } = core.local
  if (found !== away) {
    const args = [packed.text, packed.px, core.now(), core.told.channel, core.told.write(message)]
    const stored = await ask((redis) => put(redis, [ref.key, ref.lock, ...index], args))
    if (stored !== away) {
      counted(core, counts).rawBytes += packed.entry.bytes
      counts.storedBytes += packed.text.length
    }
  }
  return hold(core, ref, packed.entry, told)
}
