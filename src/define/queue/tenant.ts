import { aFunction, noUnknown, wrong } from '../check.ts'
import { type RateOptions, type RatePolicy, rateOf } from './rate.ts'

/** One for all, or one for each tenant. */
export type PerTenant<T> = T | ((tenant: string) => T)

/** How tenants share a queue. `Payload` is the schema's input. */
export type TenantOptions<Payload> = {
  /** Whose job it is; undefined leaves the tenant to whoever enqueues, or to the source. Default: those two alone. */
  by?(payload: Payload): string | undefined
  /** Share of the turns, from 0.01 to 100, where several wait. Default: 1. */
  weight?: PerTenant<number>
  /** Jobs of a tenant in hand at once, in all processes together. Default: no bound. */
  concurrency?: PerTenant<number>
  /** Jobs of a tenant started within any stretch of time of this length. Default: no bound. */
  rate?: PerTenant<RateOptions>
}

export type TenantPolicy = {
  // A method: see Queue.
  by(payload: unknown): string | undefined
  readonly weight: (tenant: string) => number
  /** Infinity is no bound. */
  readonly concurrency: (tenant: string) => number
  readonly rate: (tenant: string) => RatePolicy | undefined
}

const known = ['by', 'weight', 'concurrency', 'rate']
const weights = { least: 0.01, most: 100 }

export function tenantOf<P>(options: TenantOptions<P> | undefined, at: string): TenantPolicy | undefined {
  if (options === undefined) return undefined
  noUnknown(options, known, at)
  const { by = () => undefined, weight = 1, concurrency = Number.POSITIVE_INFINITY, rate } = options
  aFunction(by, `${at}.by`)
  return Object.freeze({
    by: (payload: unknown) => by(payload as P),
    weight: perTenant(weight, (value) => weightOf(value, `${at}.weight`)),
    concurrency: perTenant(concurrency, (value) => concurrencyOf(value, `${at}.concurrency`)),
    rate: perTenant(rate, (value) => (value === undefined ? undefined : rateOf(value, `${at}.rate`))),
  })
}

/** A constant is checked now; what a function says, when it says it. */
function perTenant<T, U>(given: PerTenant<T>, check: (value: T) => U): (tenant: string) => U {
  if (typeof given === 'function') return (tenant) => check((given as (tenant: string) => T)(tenant))
  const checked = check(given)
  return () => checked
}

function weightOf(value: number, at: string): number {
  if (!(value >= weights.least && value <= weights.most))
    throw wrong(`${at} ${value}`, `a number from ${weights.least} to ${weights.most}`)
  return value
}

function concurrencyOf(value: number, at: string): number {
  if (value !== Number.POSITIVE_INFINITY && !(Number.isInteger(value) && value >= 1))
    throw wrong(`${at} ${value}`, 'a whole number from 1')
  return value
}
