import { aFunction, noUnknown } from '../check.ts'
import { type RateOptions, type RatePolicy, rateOf } from './rate.ts'

/** How fast jobs may start. With `by`, jobs of each key on their own; without, all of the queue together. */
export type LimitOptions<Payload> = RateOptions & { by?(payload: Payload): string }

export type LimitPolicy = RatePolicy & {
  /** Undefined: the limit is the whole queue's. */
  readonly by: ((payload: unknown) => string) | undefined
}

export function limitOf<P>(options: LimitOptions<P> | undefined, at: string): LimitPolicy | undefined {
  if (options === undefined) return undefined
  noUnknown(options, ['max', 'per', 'by'], at)
  const { by, ...rate } = options
  if (by !== undefined) aFunction(by, `${at}.by`)
  return Object.freeze({ ...rateOf(rate, at), by: by && ((payload: unknown) => by(payload as P)) })
}
