import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue, defineWorker, type QueueOptions } from '../../src/index.ts'
import { Janitor } from '../../src/jobs/janitor.ts'
import { createLogger } from '../../src/observe/log.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { jobIn, jobsOf, jobsOfEvent } from '../harness/jobs.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId, mention, post } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis?.stop())

const hour = 3_600_000
const payload = z.looseObject({ event_id: z.string() })

/** An App with one queue for mentions. `runs` are the attempts made, as `event id: attempt`. */
async function startMentions(
  options: Partial<QueueOptions<typeof payload>>,
  handle: (event: string, attempt: number) => void = () => {},
): Promise<{ app: TestApp; runs: string[]; mentions: ReturnType<typeof defineQueue<typeof payload>> }> {
  const runs: string[] = []
  const mentions = defineQueue({ name: 'mentions', payload, on: ['slack:app_mention'], ...options })
  const worker = defineWorker(mentions, ({ payload: { event_id: event }, attempt }) => {
    runs.push(`${event}: ${attempt}`)
    handle(event, attempt)
  })
  const app = await startTestApp(redis.url, {
    definitions: { queues: [mentions, quarantine], workers: [worker], ignored: [] },
  })
  return { app, runs, mentions }
}

const windowOf = (app: TestApp, event: string) => redis.client.pttl(`${app.prefix}:mentions:de:slack.${event}`)

describe('500 copies of one event at once', () => {
  it('are 500 times 200 and one job', async () => {
    const { app, runs } = await startMentions({})
    try {
      const id = freshId()
      const answers = await Promise.all(Array.from({ length: 500 }, () => post(app.url, mention(id))))
      expect(answers.map(({ status }) => status)).toEqual(Array(500).fill(200))
      expect(new Set(answers.map(({ headers }) => headers.get('millrace-event')))).toEqual(new Set([id]))
      expect(answers.filter(({ headers }) => headers.get('millrace-duplicate') === 'false')).toHaveLength(1)
      expect(await jobsOf(app, 'mentions')).toHaveLength(1)
      await jobIn(app, 'mentions', id, 'completed')
      expect(runs).toEqual([`${id}: 1`])
    } finally {
      await app.close()
    }
  })
})

describe('an event that is done', () => {
  /** Sends a second event and waits for it: whatever the first repetition caused would have run before. */
  async function afterAnother(app: TestApp, runs: string[]): Promise<void> {
    const last = freshId()
    await post(app.url, mention(last))
    await until(() => runs.includes(`${last}: 1`), 'the event after it has run')
    runs.pop()
  }

  it('is not done again for 25 hours, although its job is gone', async () => {
    const { app, runs } = await startMentions({ keep: { completed: { count: 0 } } })
    try {
      const id = freshId()
      await post(app.url, mention(id))
      await until(async () => runs.length === 1 && (await jobsOf(app, 'mentions')).length === 0, 'its job is gone')
      const left = await windowOf(app, id)
      expect(left).toBeLessThanOrEqual(25 * hour)
      expect(left).toBeGreaterThan(25 * hour - 60_000)

      const again = await post(app.url, mention(id))
      expect(again.headers.get('millrace-duplicate')).toBe('true')
      await afterAnother(app, runs)
      expect(runs).toEqual([`${id}: 1`])
      // The window counts from the first: a repetition does not make it longer.
      expect(await windowOf(app, id)).toBeLessThan(left)
    } finally {
      await app.close()
    }
  })

  it('is not done again after the janitor has removed its job', async () => {
    const { app, runs, mentions } = await startMentions({ keep: { completed: { age: '1s' } } })
    try {
      const id = freshId()
      await post(app.url, mention(id))
      await jobIn(app, 'mentions', id, 'completed')
      const log = createLogger({ logLevel: 'silent', logFormat: 'json' })
      const janitor = new Janitor({ queues: [mentions], bull: app.bull, log })
      await until(async () => {
        await janitor.clean()
        return (await jobsOf(app, 'mentions')).length === 0
      }, 'its job is gone')
      const again = await post(app.url, mention(id))
      expect(again.headers.get('millrace-duplicate')).toBe('true')
      await afterAnother(app, runs)
      expect(runs).toEqual([`${id}: 1`])
    } finally {
      await app.close()
    }
  })
})

describe('an event whose job is dead', () => {
  it('is done when it is sent again, with all its attempts', async () => {
    let isBroken = true
    const { app, runs } = await startMentions({ retry: { attempts: 2, base: '1ms', max: '1ms', jitter: 0 } }, () => {
      if (isBroken) throw new Error('broken')
    })
    try {
      const id = freshId()
      await post(app.url, mention(id))
      const dead = await jobIn(app, 'mentions', id, 'failed')
      expect(runs).toEqual([`${id}: 1`, `${id}: 2`])

      // Still broken: two more attempts, as for a new one.
      const again = await post(app.url, mention(id))
      expect(again.status).toBe(200)
      expect(again.headers.get('millrace-duplicate')).toBe('true')
      await until(() => runs.length === 4, 'it has been tried twice more')
      await jobIn(app, 'mentions', id, 'failed')
      expect(runs).toEqual([`${id}: 1`, `${id}: 2`, `${id}: 1`, `${id}: 2`])

      isBroken = false
      await Promise.all(Array.from({ length: 20 }, () => post(app.url, mention(id))))
      const done = await jobIn(app, 'mentions', id, 'completed')
      expect(done.id).toBe(dead.id)
      expect(runs).toHaveLength(5)
      expect(await jobsOfEvent(app, 'mentions', id)).toHaveLength(1)
    } finally {
      await app.close()
    }
  })
})
