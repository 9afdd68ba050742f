import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { samples } from '../../src/ops/samples.ts'
import { money } from '../../workers/_money.ts'
import stripeEvents from '../../workers/stripe-events.ts'
import { type SlackApi, startSlackApi } from '../harness/slack-api.ts'
import { work } from '../harness/work.ts'

type StripeEvent = { data: { object: Record<string, unknown> } } & Record<string, unknown>
const sample = (name: string) => JSON.parse(samples.stripe[name]?.(Date.now()).body ?? '') as StripeEvent

let slack: SlackApi
beforeAll(async () => {
  slack = await startSlackApi()
})
afterAll(() => slack.stop())

it.each([
  ['payment_intent.succeeded', 'Stripe (test): 20.00 EUR received', 'payments/pi_'],
  [
    'payment_intent.payment_failed',
    'Stripe (test): a payment of 20.00 EUR failed: Your card has insufficient funds.',
    'payments/pi_',
  ],
  [
    'invoice.payment_failed',
    'Stripe (test): the payment of an invoice over 20.00 EUR failed, attempt 1',
    'invoices/in_',
  ],
  ['charge.refunded', 'Stripe (test): 20.00 EUR of 20.00 EUR refunded', 'payments/ch_'],
])('sums %s up', async (name, text, url) => {
  const payload = sample(name)
  const { result, logged } = await work(stripeEvents, { name, payload })
  expect(result).toMatchObject({
    type: name,
    event: payload.id,
    object: payload.data.object.id,
    amount: 2000,
    currency: 'EUR',
    text,
    url: expect.stringContaining(`https://dashboard.stripe.com/test/${url}`),
    notified: false,
  })
  expect(logged).toEqual([[expect.objectContaining({ event: payload.id }), text]])
})

it.each(['customer.created', 'invoice.paid', 'customer.subscription.updated', 'checkout.session.completed'])(
  'ignores %s',
  async (name) => {
    expect((await work(stripeEvents, { name, payload: sample(name) })).result).toEqual({ ignored: name })
  },
)

it('ignores a type that only looks like a name of ours, and an event around nothing', async () => {
  const payload = { ...sample('charge.refunded'), type: 'constructor' }
  expect((await work(stripeEvents, { name: 'constructor', payload })).result).toEqual({ ignored: 'constructor' })
  const empty = { id: 'evt_1', type: 'charge.refunded' }
  expect((await work(stripeEvents, { name: empty.type, payload: empty })).result).toEqual({ ignored: empty.type })
})

it('counts a part of a charge that was refunded, and yen without decimals, in live mode', async () => {
  const payload = sample('charge.refunded')
  const object = { ...payload.data.object, currency: 'jpy', amount: 12_000, amount_refunded: 500 }
  const { result } = await work(stripeEvents, {
    name: 'charge.refunded',
    payload: { ...payload, livemode: true, data: { object } },
  })
  expect(result).toMatchObject({ amount: 500, text: 'Stripe: 500 JPY of 12,000 JPY refunded' })
  expect(result).toMatchObject({ url: expect.stringMatching(/^https:\/\/dashboard\.stripe\.com\/payments\/ch_/) })
})

it('tells the Slack channel, where a channel and a token are set', async () => {
  const env = { SLACK_API_URL: slack.url, SLACK_BOT_TOKEN: 'xoxb-1', STRIPE_NOTIFY_SLACK_CHANNEL: '#money' }
  const name = 'payment_intent.succeeded'
  expect((await work(stripeEvents, { name, payload: sample(name), env })).result).toMatchObject({ notified: true })
  const text = expect.stringMatching(/^Stripe \(test\): 20\.00 EUR received \(<https:/)
  expect(slack.said).toMatchObject([{ method: 'chat.postMessage', message: { channel: '#money', text } }])
})

describe('money', () => {
  it.each([
    [2000, 'eur', '20.00 EUR'],
    [5, 'usd', '0.05 USD'],
    [-150, 'usd', '-1.50 USD'],
    [2000, 'jpy', '2,000 JPY'],
    [2000, 'KRW', '2,000 KRW'],
    [5120, 'kwd', '5.120 KWD'],
    // No smaller unit any more, but Stripe still counts in hundredths.
    [500, 'isk', '5.00 ISK'],
    [500, 'ugx', '5.00 UGX'],
    [99_999_999_999, 'idr', '999,999,999.99 IDR'],
    [1, '???', '0.01 ???'],
  ])('writes %i %s as %s', (amount, currency, text) => {
    expect(money(amount, currency)).toBe(text)
  })
})
