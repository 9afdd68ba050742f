import slackEvents from '../../queues/slack-events.ts'
import { defineQueue } from '../../src/index.ts'
import { retention } from './events.ts'

/** The queues that our worker is measured on. All have one name, so that the same jobs fit each of them. */
export const ownQueues = {
  plain: slackEvents,
  tenants: defineQueue({
    name: slackEvents.name,
    payload: slackEvents.payload,
    retry: { attempts: slackEvents.retry.attempts, base: '1s', max: '10m' },
    keep: { completed: { age: `${retention.removeOnComplete.age}s`, count: retention.removeOnComplete.count } },
    // Never more than a few in hand for each, so that the bounds are at work all the time.
    tenant: { weight: 1, concurrency: 2 },
  }),
  keys: defineQueue({
    name: slackEvents.name,
    payload: slackEvents.payload,
    // So high that it is the pauses alone that hold anybody back.
    limit: { max: 10_000, per: '1s', by: ({ event_id: id }) => keyOf(String(id)) },
  }),
} as const

/** One of ten, by the event's number. */
export function keyOf(id: string): string {
  return `T${Number.parseInt(id.slice(2), 36) % 10}`
}

export type OwnQueue = keyof typeof ownQueues
