import { type Duration, durationMs } from './duration.ts'

/** What a handler may return instead of a result: not now, or never. Plain data, never thrown. */
export type Outcome = Defer | Drop

export type Defer = { readonly [tag]: 'defer'; readonly ms: number; readonly reason: string | undefined }
export type Drop = { readonly [tag]: 'drop'; readonly reason: string }

// A symbol, so that no result a handler returns can be taken for an outcome by accident.
const tag: unique symbol = Symbol.for('millrace.outcome')

/** Run this job again after `wait`. Uses up no attempt. */
export function defer(wait: Duration, reason?: string): Defer {
  return Object.freeze({ [tag]: 'defer' as const, ms: durationMs(wait, 'defer()'), reason })
}

/** Never run this job again: it goes to the dead letters with `reason`. */
export function drop(reason: string): Drop {
  return Object.freeze({ [tag]: 'drop' as const, reason: String(reason) })
}

export function isDefer(value: unknown): value is Defer {
  return tagOf(value) === 'defer'
}

export function isDrop(value: unknown): value is Drop {
  return tagOf(value) === 'drop'
}

function tagOf(value: unknown): unknown {
  return typeof value === 'object' && value !== null ? (value as { [tag]?: unknown })[tag] : undefined
}
