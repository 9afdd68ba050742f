import { expect, it } from 'vitest'
import stripeEvents from '../../queues/stripe-events.ts'
import { samples } from '../../src/ops/samples.ts'
import { takes } from '../../src/policy/route.ts'

it.each(Object.entries(samples.stripe))('takes the sample %s, and leaves it as it is', (type, make) => {
  const payload = JSON.parse(make(Date.now()).body)
  expect(stripeEvents.payload.parse(payload)).toEqual(payload)
  expect(takes(stripeEvents.on, { source: 'shop', sourceType: 'stripe', type })).toBe(true)
})

it('takes an event around anything, and one around nothing', () => {
  const event = { id: 'evt_1', object: 'event', type: 'v2.core.account.closed' }
  for (const payload of [event, { ...event, data: null }, { ...event, data: { object: { object: 'balance' } } }])
    expect(stripeEvents.payload.parse(payload)).toEqual(payload)
})

it('refuses what is no event', () => {
  for (const payload of [
    null,
    [],
    { type: 'charge.refunded' },
    { id: 'evt_1', type: 'a', data: { object: { amount: '1' } } },
  ])
    expect(stripeEvents.payload.safeParse(payload).success).toBe(false)
})
