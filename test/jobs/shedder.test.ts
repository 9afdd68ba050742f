import { createHmac, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue } from '../../src/index.ts'
import { openQueues } from '../../src/jobs/bull.ts'
import { Shedder } from '../../src/jobs/shedder.ts'
import { StoreWatch } from '../../src/jobs/store-watch.ts'
import { createLogger } from '../../src/observe/log.ts'
import { createMetrics } from '../../src/observe/metrics.ts'
import { apiOf } from '../harness/api.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId, mention, post } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

const small = defineQueue({
  name: 'small',
  on: ['slack:app_mention', 'github:push'],
  payload: z.looseObject({}),
  budget: '1mb',
})
const other = defineQueue({ name: 'other', on: ['slack:message', 'github:ping'], payload: z.looseObject({}) })
const secret = freshId('secret')
const log = createLogger({ logLevel: 'silent', logFormat: 'json' })

let redis: TestRedis
beforeAll(async () => {
  redis = await startRedis()
})
afterAll(() => redis.stop())

describe('a queue over its budget', () => {
  let app: TestApp
  beforeAll(async () => {
    const definitions = { queues: [small, other, quarantine], workers: [], ignored: [] }
    app = await startTestApp(redis.url, { definitions, env: { GITHUB_WEBHOOK_SECRET: secret, ROLES: 'http' } })
  })
  afterAll(() => app.close())
  const send = (type: string) => {
    const body = JSON.stringify({ text: randomBytes(250_000).toString('hex') })
    const signature = createHmac('sha256', secret).update(body).digest('hex')
    const headers = {
      'x-hub-signature-256': `sha256=${signature}`,
      'x-github-event': type,
      'x-github-delivery': freshId(),
    }
    return fetch(`${app.url}/hooks/github`, { method: 'POST', body, headers })
  }

  it('takes nothing more until it is below, and the others go on', async () => {
    await Promise.all([send('push'), send('push'), send('push')])
    const refused = await until(async () => {
      const response = await send('push')
      return response.status === 503 ? response : undefined
    }, 'it is refused')
    expect(await refused?.json()).toMatchObject({
      code: 'shed',
      detail: expect.stringMatching(/^queue 'small' holds about \d+ MB of its budget of 1 MB$/),
    })
    expect((await send('ping')).status).toBe(202)
    // Slack would count a refusal as our failure.
    const slack = await post(app.url, mention())
    expect([slack.status, slack.headers.get('millrace-stored')]).toEqual([200, 'queue'])
    expect((await apiOf(() => app).add('small', { n: 1 })).status).toBe(503)

    await app.bull.get('small')?.drain()
    await until(async () => (await send('push')).status === 202, 'it takes events again')
  })
})

describe('a store that is nearly full', () => {
  it('refuses the tenant that sends most, then everybody', async () => {
    const tight = await startRedis({ maxmemory: '40mb' })
    const bull = openQueues([other], tight.client, 'p')
    const watch = new StoreWatch({ redis: tight.client, store: 'queue', watermark: 0.5, metrics: createMetrics() })
    const shedder = new Shedder({ watch, queues: [other], bull, log })
    const fillTo = async (share: number) => {
      for (let n = 0; watch.memoryRatio < share; n += 1) {
        await tight.client.set(`foreign:${share}:${n}`, 'x'.repeat(200_000))
        await watch.look()
      }
    }
    try {
      await watch.look()
      for (let n = 0; n < 20; n += 1) expect(shedder.isOver('other', 'loud', 10_000)).toBeUndefined()
      for (const tenant of ['a', 'b', 'c']) expect(shedder.isOver('other', tenant, 500)).toBeUndefined()
      await fillTo(0.46)
      expect(watch.isTight()).toBe(true)
      expect(shedder.isOver('other', 'loud', 10)).toMatch('this tenant sends more than its part')
      expect(shedder.isOver('other', 'a', 10)).toBeUndefined()
      expect(shedder.isOver('other', undefined, 10)).toBeUndefined()
      await fillTo(0.51)
      expect(shedder.isFull()).toMatch(/% full/)
    } finally {
      await bull.get('other')?.close()
      await tight.stop()
    }
  })
})
