import { afterAll, beforeAll, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue, defineWorker } from '../../src/index.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { jobIn, jobsOf } from '../harness/jobs.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId, mention, post } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/* Events in queues whose jobs make room for each other: a redelivery changes nothing, another event goes by the mode. */

const payload = z.looseObject({ event: z.looseObject({ channel: z.string(), text: z.string() }) })
const by = ({ event }: { event: { channel: string } }) => event.channel
const keepLast = defineQueue({ name: 'keep-last', on: ['slack:*'], payload, dedupe: { by, mode: 'keep-last' } })
const singleton = defineQueue({
  name: 'singleton',
  on: ['slack:*'],
  payload,
  retry: { attempts: 1 },
  dedupe: { by, mode: 'singleton' },
})

let redis: TestRedis
let app: TestApp
const ran: string[] = []
const held = new Map<string, () => void>()
const handled = (queue: string) => async (job: { payload: { event: { text: string } } }) => {
  const { text } = job.payload.event
  ran.push(`${queue} ${text}`)
  if (text.startsWith('hold')) await new Promise<void>((resolve) => held.set(`${queue} ${text}`, resolve))
  if (text.endsWith('fail') && ran.filter((one) => one === `${queue} ${text}`).length === 1) throw new Error('as told')
}
beforeAll(async () => {
  redis = await startRedis()
  const workers = [defineWorker(keepLast, handled('keep-last')), defineWorker(singleton, handled('singleton'))]
  app = await startTestApp(redis.url, {
    definitions: { queues: [keepLast, singleton, quarantine], workers, ignored: [] },
  })
})
afterAll(async () => {
  for (const release of held.values()) release()
  await app.close()
  await redis.stop()
})

let serial = 0
async function send(id: string, channel: string, text: string): Promise<string | null> {
  serial += 1
  const event = { type: 'message', user: 'U1', text, channel, event_ts: `${Math.floor(Date.now() / 1_000)}.${serial}` }
  const response = await post(app.url, mention(id, { event }))
  expect(response.status).toBe(200)
  return response.headers.get('millrace-duplicate')
}
const isHeld = (what: string) => until(() => held.get(what), `${what} is in hand`)

it('runs each that counts once, and a redelivery of any of them never', async () => {
  const channel = freshId('C')
  const [a, b, c] = [freshId(), freshId(), freshId()]
  expect(await send(a, channel, 'hold a')).toBe('false')
  const release = [await isHeld('keep-last hold a'), await isHeld('singleton hold a')]
  // For the one queue it is a job of its own, if only until the next one comes.
  expect(await send(b, channel, 'b')).toBe('false')
  expect(await send(c, channel, 'c')).toBe('false')
  for (const [id, text] of [
    [a, 'hold a'],
    [b, 'b'],
    [c, 'c'],
  ] as const)
    expect(await send(id, channel, text)).toBe('true')
  for (const go of release) go()
  await jobIn(app, 'keep-last', c, 'completed')
  expect(ran).toEqual(expect.arrayContaining(['keep-last hold a', 'singleton hold a', 'keep-last c']))
  expect(ran).toHaveLength(3)
  // Long after, too: what was replaced was taken note of all the same.
  for (const [id, text] of [
    [a, 'hold a'],
    [b, 'b'],
    [c, 'c'],
  ] as const)
    expect(await send(id, channel, text)).toBe('true')
  const open = await jobsOf(app, 'keep-last', ['waiting', 'active', 'delayed'])
  expect(open).toEqual([])
})

it('revives the dead job of an event that is delivered again', async () => {
  const channel = freshId('C')
  const id = freshId()
  expect(await send(id, channel, 'fail')).toBe('false')
  await jobIn(app, 'singleton', id, 'failed')
  await jobIn(app, 'keep-last', id, 'delayed') // it has attempts left
  expect(await send(id, channel, 'fail')).toBe('true')
  await jobIn(app, 'singleton', id, 'completed')
})
