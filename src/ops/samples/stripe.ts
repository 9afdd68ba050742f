import { randomUUID } from 'node:crypto'
import { alphanumerics, type SampleMaker } from './sample.ts'
import { invoice } from './stripe-invoice.ts'
import { charge, checkoutSession, customer, declined, paymentIntent, stripeId, subscription } from './stripe-objects.ts'

/* Events as Stripe sends them, after docs.stripe.com/api/events: an envelope around the object that changed. */

/** The version whose objects these are. */
const apiVersion = '2026-10-28.endive'

type Data = { readonly object: object; readonly previous_attributes?: object }

const events: Readonly<Record<string, (created: number) => Data>> = {
  'payment_intent.created': (created) => ({ object: paymentIntent(created, { status: 'requires_payment_method' }) }),
  'payment_intent.succeeded': (created) => ({
    object: paymentIntent(created, {
      status: 'succeeded',
      amount_received: 2000,
      latest_charge: stripeId('ch'),
      payment_method: stripeId('pm'),
    }),
  }),
  'payment_intent.payment_failed': (created) => ({
    object: paymentIntent(created, {
      status: 'requires_payment_method',
      latest_charge: stripeId('ch'),
      last_payment_error: declined(),
    }),
  }),
  'charge.succeeded': (created) => ({ object: charge(created, {}) }),
  'charge.refunded': (created) => ({
    object: charge(created, { amount_refunded: 2000, refunded: true }),
    previous_attributes: { amount_refunded: 0, refunded: false },
  }),
  'checkout.session.completed': (created) => ({ object: checkoutSession(created) }),
  'customer.created': (created) => ({ object: customer(created) }),
  'customer.subscription.updated': (created) => ({
    object: subscription(created),
    previous_attributes: { status: 'incomplete' },
  }),
  'invoice.paid': (created) => ({ object: invoice(created, true) }),
  'invoice.payment_failed': (created) => ({ object: invoice(created, false) }),
}

export const stripe: Readonly<Record<string, SampleMaker>> = Object.fromEntries(
  Object.entries(events).map(([type, make]): [string, SampleMaker] => [
    type,
    (now) => {
      const id = `evt_${alphanumerics(24)}`
      const created = Math.floor(now / 1_000)
      const body = {
        id,
        object: 'event',
        api_version: apiVersion,
        created,
        data: make(created),
        livemode: false,
        pending_webhooks: 1,
        request: { id: `req_${alphanumerics(14)}`, idempotency_key: randomUUID() },
        type,
      }
      return { id, type, contentType: 'application/json', body: JSON.stringify(body) }
    },
  ]),
)
