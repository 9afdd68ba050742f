import { z } from 'zod'
import { defineQueue } from '../src/index.ts'

const amount = z.number().int().nullish()

/**
 * Everything that Stripe sends. The payload is Stripe's own event, unchanged. Only what the worker reads is checked, and
 * of the object in it only where it is there: it may be of any kind.
 */
export default defineQueue({
  name: 'stripe-events',
  payload: z.looseObject({
    id: z.string(),
    type: z.string(),
    livemode: z.boolean().nullish(),
    data: z
      .looseObject({
        object: z
          .looseObject({
            id: z.string().nullish(),
            currency: z.string().nullish(),
            amount,
            amount_received: amount,
            amount_refunded: amount,
            amount_due: amount,
            attempt_count: amount,
            last_payment_error: z.looseObject({ message: z.string().nullish() }).nullish(),
          })
          .nullish(),
      })
      .nullish(),
  }),
  on: ['stripe:*'],
  // Money: rather for half a day too long than given up during somebody's outage.
  retry: { attempts: 12, base: '2s', max: '1h' },
  keep: { completed: { age: '24h', count: 5000 }, dead: { age: '30d', count: 50_000 } },
})
