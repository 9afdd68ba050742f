import { isRateLimited } from '../../define/rate-limited.ts'
import type { Breakers } from '../../define/services.ts'
import type { Logger } from '../../observe/log.ts'
import { CallBreakers } from '../../outbound/breakers.ts'

/** `refused`: the breaker was open, and the call was not made. */
export type FakeCall = {
  readonly tenant: string | undefined
  readonly name: string
  readonly outcome: 'ok' | 'failed' | 'limited' | 'refused'
}

const nobody = () => {}
const silent = { debug: nobody, info: nobody, warn: nobody, error: nobody } as unknown as Logger

/** Those that a process has, on the kit's clock; `log` is told of each call. */
export function fakeBreakers(now: () => number, log: FakeCall[]): (tenant: string | undefined) => Breakers {
  const breakers = new CallBreakers({ log: silent, now })
  return (tenant) => ({
    run: async (name, call, options) => {
      let outcome: FakeCall['outcome'] = 'refused'
      try {
        return await breakers.run(
          name,
          async (given) => {
            outcome = 'failed'
            const value = await call(given)
            outcome = 'ok'
            return value
          },
          options,
        )
      } catch (error) {
        if (isRateLimited(error)) outcome = 'limited'
        throw error
      } finally {
        log.push({ tenant, name, outcome })
      }
    },
  })
}
