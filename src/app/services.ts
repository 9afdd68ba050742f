import type { Services } from '../define/services.ts'
import type { Limiter } from '../limits/limiter.ts'

/** What handlers use beside the queue: for each tenant its own. */
export type ServicesOf = (tenant: string | undefined) => Services

/** A part that is not there says so when it is used, and not before. */
function missing(name: string): never {
  return new Proxy(
    {},
    {
      get: () => () => {
        throw new Error(`${name} is not there yet`)
      },
    },
  ) as never
}

/** Opens what the services need, in the order in which they need each other. */
export async function startServices({ limiter }: { limiter: Limiter }): Promise<ServicesOf> {
  return (tenant) => ({
    cache: missing('cache'),
    sessions: missing('sessions'),
    limits: limiter.of(tenant),
    publish: missing('publish'),
    breakers: missing('breakers'),
    secrets: missing('secrets'),
  })
}
