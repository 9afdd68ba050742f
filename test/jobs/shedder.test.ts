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

const small = defineQueue({ name: 'small', on: ['slack:app_mention'], payload: z.looseObject({}), budget: '1mb' })
const other = defineQueue({ name: 'other', on: ['slack:message'], payload: z.looseObject({}) })
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
    app = await startTestApp(redis.url, { definitions, env: { SPOOL_LIMIT: '0', ROLES: 'http' } })
  })
  afterAll(() => app.close())
  const send = (type: string) =>
    post(app.url, mention(freshId(), { event: { type, text: 'x'.repeat(500_000), user: freshId('U') } }))

  it('takes nothing more until it is below, and the others go on', async () => {
    await Promise.all([send('app_mention'), send('app_mention'), send('app_mention')])
    const refused = await until(async () => {
      const response = await send('app_mention')
      return response.status === 503 ? response : undefined
    }, 'it is refused')
    expect(await refused?.json()).toMatchObject({
      code: 'store-unavailable',
      detail: expect.stringMatching(/^queue 'small' holds about \d+ MB of its budget of 1 MB$/),
    })
    expect((await send('message')).status).toBe(200)
    expect((await apiOf(() => app).add('small', { n: 1 })).status).toBe(503)

    await app.bull.get('small')?.drain()
    await until(async () => (await send('app_mention')).status === 200, 'it takes events again')
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
      for (let n = 0; n < 20; n += 1) expect(shedder.refusal('other', 'loud', 10_000)).toBeUndefined()
      for (const tenant of ['a', 'b', 'c']) expect(shedder.refusal('other', tenant, 500)).toBeUndefined()
      await fillTo(0.46)
      expect(watch.isTight()).toBe(true)
      expect(shedder.refusal('other', 'loud', 10)).toMatch('this tenant sends more than its part')
      expect(shedder.refusal('other', 'a', 10)).toBeUndefined()
      expect(shedder.refusal('other', undefined, 10)).toBeUndefined()
      await fillTo(0.51)
      for (const tenant of ['loud', 'a', undefined]) expect(shedder.refusal('other', tenant, 10)).toMatch(/% full/)
    } finally {
      await bull.get('other')?.close()
      await tight.stop()
    }
  })
})
