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

/** What holds for one tenant; what is undefined is not bounded. */
export type TenantTerms = {
  readonly weight: number
  readonly concurrency: number | undefined
  readonly rate: RatePolicy | undefined
}

export type TenantPolicy = {
  // A method: see Queue.
  by(payload: unknown): string | undefined
  readonly termsOf: (tenant: string) => TenantTerms
  /** Whether they are the same for every tenant. */
  readonly isUniform: boolean
}

const known = ['by', 'weight', 'concurrency', 'rate']
const weights = { least: 0.01, most: 100 }

export function tenantOf<P>(options: TenantOptions<P> | undefined, at: string): TenantPolicy | undefined {
  if (options === undefined) return undefined
  noUnknown(options, known, at)
  const { by = () => undefined, weight, concurrency, rate } = options
  aFunction(by, `${at}.by`)
  const isUniform = ![weight, concurrency, rate].some((part) => typeof part === 'function')
  const termsOf = (tenant: string): TenantTerms =>
    Object.freeze({
      weight: weightOf(one(weight, tenant) ?? 1, `${at}.weight`),
      concurrency: concurrencyOf(one(concurrency, tenant), `${at}.concurrency`),
      rate: optionalRate(one(rate, tenant), `${at}.rate`),
    })
  // A constant is checked now; what a function says, when it says it.
  const uniform = isUniform ? termsOf('') : undefined
  return Object.freeze({
    by: (payload: unknown) => by(payload as P),
    termsOf: uniform ? () => uniform : termsOf,
    isUniform,
  })
}

function one<T>(given: PerTenant<T> | undefined, tenant: string): T | undefined {
  return typeof given === 'function' ? (given as (tenant: string) => T)(tenant) : given
}

export function weightOf(value: number, at: string): number {
  if (!(value >= weights.least && value <= weights.most))
    throw wrong(`${at} ${value}`, `a number from ${weights.least} to ${weights.most}`)
  return value
}

export function concurrencyOf(value: number | undefined, at: string): number | undefined {
  if (value === undefined || value === Number.POSITIVE_INFINITY) return undefined
  if (!(Number.isInteger(value) && value >= 1)) throw wrong(`${at} ${value}`, 'a whole number from 1')
  return value
}

function optionalRate(value: RateOptions | undefined, at: string): RatePolicy | undefined {
  return value === undefined ? undefined : rateOf(value, at)
}
