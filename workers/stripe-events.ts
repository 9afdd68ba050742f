import { z } from 'zod'
import stripeEvents from '../queues/stripe-events.ts'
import { defineWorker, type PayloadOutput } from '../src/index.ts'
import { money } from './_money.ts'
import { notify, oneLine } from './_notify.ts'
import { slackSettings } from './_slack.ts'

type Payload = PayloadOutput<typeof stripeEvents>
type StripeObject = NonNullable<NonNullable<Payload['data']>['object']>

const settings = slackSettings.extend({ STRIPE_NOTIFY_SLACK_CHANNEL: z.string().min(1).optional() })

/** Says in one line what has become of somebody's money, in the log and, where a channel is named, in Slack. */
export default defineWorker(
  stripeEvents,
  async ({ payload }, context) => {
    const { id, type, livemode } = payload
    const object = payload.data?.object
    // The type comes from outside: `constructor` is none of ours.
    const said = object && Object.hasOwn(sayers, type) ? sayers[type]?.(object) : undefined
    if (!object || !said) return { ignored: type }
    const kind = type.startsWith('invoice.') ? 'invoices' : 'payments'
    const summary = {
      type,
      event: id,
      object: object.id ?? null,
      currency: object.currency?.toUpperCase() ?? null,
      amount: said.amount,
      text: `Stripe${livemode ? '' : ' (test)'}: ${said.text}`,
      url: `https://dashboard.stripe.com/${livemode ? '' : 'test/'}${kind}/${encodeURIComponent(object.id ?? '')}`,
    }
    return notify(context.settings.STRIPE_NOTIFY_SLACK_CHANNEL, summary, context)
  },
  { concurrency: 20, timeout: '30s', settings },
)

/** `amount` is as Stripe has it, in least units; the text has it as people write it. */
const sayers: Readonly<Record<string, (object: StripeObject) => { amount: number; text: string }>> = {
  'payment_intent.succeeded': (object) => {
    const amount = object.amount_received ?? object.amount ?? 0
    return { amount, text: `${sum(amount, object)} received` }
  },
  'payment_intent.payment_failed': (object) => {
    const amount = object.amount ?? 0
    const why = object.last_payment_error?.message
    return { amount, text: `a payment of ${sum(amount, object)} failed${why ? `: ${oneLine(why)}` : ''}` }
  },
  'invoice.payment_failed': (object) => {
    const amount = object.amount_due ?? 0
    const which = object.attempt_count ? `, attempt ${object.attempt_count}` : ''
    return { amount, text: `the payment of an invoice over ${sum(amount, object)} failed${which}` }
  },
  'charge.refunded': (object) => {
    // All that was refunded of the charge until now: there may have been partial refunds before.
    const amount = object.amount_refunded ?? 0
    return { amount, text: `${sum(amount, object)} of ${sum(object.amount ?? amount, object)} refunded` }
  },
}

function sum(amount: number, { currency }: StripeObject): string {
  return money(amount, currency ?? '???')
}
