import { aFunction, noUnknown, wrong } from '../check.ts'
import { type Duration, durationMs } from '../duration.ts'

/**
 * What becomes of a job whose key another one has already.
 * - `once` (throttle): within the time, counted from the first, it is no job of its own.
 * - `debounce`: each further one puts the job off by `within` and takes its place; the last payload runs, once it is quiet.
 * - `singleton`: while the first is unfinished it is no job of its own.
 * - `keep-last`: while the first is unfinished, the last of those that came meanwhile runs after it.
 * - `supersede`: it takes the place of the one before, which is cancelled if it runs already.
 */
export type DedupeOptions<Payload> = {
  /** Jobs with the same key are the same work. */
  by(payload: Payload): string
} & (
  | { mode?: 'once' | 'debounce'; within: Duration }
  | { mode: 'singleton' | 'keep-last' | 'supersede'; within?: undefined }
)

export const dedupeModes = ['once', 'debounce', 'singleton', 'keep-last', 'supersede'] as const
export type DedupeMode = (typeof dedupeModes)[number]

export type DedupePolicy = {
  // A method: see Queue.
  by(payload: unknown): string
  readonly mode: DedupeMode
  /** 0 where the mode has no time. */
  readonly withinMs: number
}

export function dedupeOf<P>(options: DedupeOptions<P> | undefined, at: string): DedupePolicy | undefined {
  if (options === undefined) return undefined
  noUnknown(options, ['by', 'within', 'mode'], at)
  aFunction(options.by, `${at}.by`)
  const mode = options.mode ?? 'once'
  if (!dedupeModes.includes(mode)) throw wrong(`${at}.mode ${JSON.stringify(mode)}`, `one of ${dedupeModes.join(', ')}`)
  const isTimed = mode === 'once' || mode === 'debounce'
  if (!isTimed && options.within !== undefined) throw wrong(`${at}.within`, `an option of mode '${mode}'`)
  const withinMs = isTimed ? durationMs(options.within as Duration, `${at}.within`) : 0
  // BullMQ takes 0 for "for ever".
  if (isTimed && withinMs < 1) throw wrong(`${at}.within ${options.within}`, "at least '1ms'")
  return Object.freeze({ by: (payload: unknown) => options.by(payload as P), mode, withinMs })
}
