import { aFunction, noUnknown } from '../check.ts'

export type OrderOptions<Payload> = { by(payload: Payload): string }
export type OrderPolicy = { by(payload: unknown): string }

export function orderOf<P>(options: OrderOptions<P> | undefined, at: string): OrderPolicy | undefined {
  if (options === undefined) return undefined
  noUnknown(options, ['by'], at)
  aFunction(options.by, `${at}.by`)
  return Object.freeze({ by: (payload: unknown) => options.by(payload as P) })
}
