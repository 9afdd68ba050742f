import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import quarantine from '../../queues/quarantine.ts'
import { defineQueue, defineWorker, drop } from '../../src/index.ts'
import { adminKey, startTestApp, type TestApp } from '../harness/app.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { freshId, mention, post } from '../harness/slack.ts'
import { until } from '../harness/until.ts'

/* Every accepted event can be found, with what became of it, and put through routing again. */

const replies = defineQueue({ name: 'replies', on: ['slack:app_mention'], payload: z.looseObject({}) })
const counts = defineQueue({ name: 'counts', on: ['slack:*', '!slack:reaction_added'], payload: z.looseObject({}) })
let isDropping = true
const workers = [
  defineWorker(replies, () => (isDropping ? drop('not today') : 'said')),
  defineWorker(counts, () => 'counted'),
  defineWorker(quarantine, () => drop('kept')),
]

let redis: TestRedis
let app: TestApp
beforeAll(async () => {
  redis = await startRedis()
  app = await startTestApp(redis.url, { definitions: { queues: [replies, counts, quarantine], workers, ignored: [] } })
})
afterAll(async () => {
  await app.close()
  await redis.stop()
})

type Found = {
  event: string
  type: string
  tenant: string | null
  isReadable: boolean
  queues: string[]
  outcomes: { queue: string; job: string | null; state: string }[]
}
const ask = async <T>(path: string, init: RequestInit = {}): Promise<{ status: number; body: T }> => {
  const headers = { authorization: `Bearer ${adminKey}`, 'content-type': 'application/json' }
  const response = await fetch(`${app.url}/api/${path}`, { ...init, headers })
  return { status: response.status, body: (await response.json()) as T }
}
const list = async (query: Record<string, string>) =>
  (await ask<{ events: Found[]; next: string | null }>(`inbox?${new URLSearchParams(query)}`)).body
const ofType = (type: string, id: string, team: string) =>
  mention(id, { team_id: team, event: { type, user: 'U1', text: id, channel: 'C1' } })

async function send(type = 'app_mention', team = freshId('T')): Promise<{ id: string; team: string }> {
  const id = freshId()
  expect((await post(app.url, ofType(type, id, team))).status).toBe(200)
  return { id, team }
}

describe('the inbox', () => {
  it('has an event once, with what became of it in each queue', async () => {
    const { id, team } = await send()
    expect((await post(app.url, ofType('app_mention', id, team))).headers.get('millrace-duplicate')).toBe('true')
    const found = await until(async () => {
      const { events } = await list({ event: id })
      return events[0]?.outcomes.every(({ state }) => ['dead', 'completed'].includes(state)) ? events : undefined
    }, 'both have run')
    expect(found).toHaveLength(1)
    expect(found?.[0]).toMatchObject({
      event: id,
      source: 'slack',
      type: 'app_mention',
      tenant: team,
      isReadable: true,
    })
    expect(found?.[0]?.outcomes.map(({ queue, state }) => [queue, state])).toEqual([
      ['replies', 'dead'],
      ['counts', 'completed'],
    ])
  })

  it('is searched by source, type, tenant, queue and time, newest first, page by page', async () => {
    const team = freshId('T')
    const before = new Date().toISOString()
    const { id: first } = await send('message', team)
    const { id: second } = await send('app_mention', team)
    const { id: third } = await send('reaction_added', team)
    const ids = async (query: Record<string, string>) =>
      (await list({ tenant: team, ...query })).events.map(({ event }) => event)

    expect(await ids({})).toEqual([third, second, first])
    expect(await ids({ type: 'message' })).toEqual([first])
    expect(await ids({ queue: 'quarantine' })).toEqual([third])
    expect(await ids({ source: 'other' })).toEqual([])
    expect(await ids({ since: before })).toHaveLength(3)
    expect(await ids({ until: before })).toEqual([])
    const page = await list({ tenant: team, limit: '2' })
    expect(page.events.map(({ event }) => event)).toEqual([third, second])
    expect(await ids({ cursor: page.next ?? '' })).toEqual([first])
    expect((await ask('inbox?limit=0')).status).toBe(400)
    expect((await ask('inbox?nonsense=1')).status).toBe(400)
  })

  it('has every event of a crowd once, in their order, across pages, with its own payload', async () => {
    const team = freshId('T')
    const ids = Array.from({ length: 150 }, () => freshId())
    const answers = await Promise.all(ids.map((id) => post(app.url, ofType('message', id, team))))
    expect(answers.map(({ status }) => status)).toEqual(ids.map(() => 200))
    // Fewer entries than events: those that were stored together are entered together.
    expect(await redis.client.xlen(`${app.prefix}:inbox`)).toBeLessThan(100)
    const found: string[] = []
    let next: string | null = ''
    while (next !== null) {
      const page = await list({ tenant: team, limit: '7', ...(next === '' ? {} : { cursor: next }) })
      found.push(...page.events.map(({ event }) => event))
      next = page.next
    }
    expect(found).toHaveLength(ids.length)
    expect(new Set(found)).toEqual(new Set(ids))
    for (const id of [found[0], found[70], found[149]])
      expect((await ask<{ payload: { event_id: string } }>(`inbox/${id}`)).body.payload.event_id).toBe(id)
  })

  it('shows one event with its payload', async () => {
    const { id } = await send()
    expect((await ask<{ payload: { event_id: string } }>(`inbox/${id}`)).body.payload.event_id).toBe(id)
    expect((await ask(`inbox/${freshId()}`)).status).toBe(404)
  })

  it('also has what could not be understood', async () => {
    const response = await post(app.url, '{"type":"event_callback"}')
    const id = response.headers.get('millrace-event') ?? ''
    expect((await list({ event: id })).events[0]).toMatchObject({ isReadable: false, queues: ['quarantine'] })
  })
})

describe('replay', () => {
  const replay = (filter: object, dryRun?: boolean) =>
    ask<{ dryRun: boolean; replayed: number; events: Found[] }>('replay', {
      method: 'POST',
      body: JSON.stringify({ filter, ...(dryRun === undefined ? {} : { dryRun }) }),
    })

  it('tells what it would do, does nothing, and then does it in every queue that takes it now', async () => {
    const { id } = await send()
    await until(async () => (await list({ event: id })).events[0]?.outcomes[0]?.state === 'dead', 'it is dead')
    isDropping = false
    const dry = await replay({ event: id })
    expect(dry.body).toMatchObject({ dryRun: true, replayed: 0, events: [{ event: id }] })
    expect((await list({ type: 'app_mention', queue: 'replies' })).events[0]?.event).toBe(id)

    expect((await replay({ event: id }, false)).body).toMatchObject({ dryRun: false, replayed: 1 })
    const again = await until(async () => {
      const [newest] = (await list({ queue: 'replies' })).events
      return newest?.event.startsWith(`${id}~`) && newest.outcomes.every(({ state }) => state === 'completed')
        ? newest
        : undefined
    }, 'its replay is done')
    expect(again?.outcomes.map(({ queue }) => queue)).toEqual(['replies', 'counts'])
  })

  it('leaves alone what was never understood, and refuses a wrong filter', async () => {
    const response = await post(app.url, '[1]')
    const id = response.headers.get('millrace-event') ?? ''
    expect((await replay({ event: id }, false)).body).toMatchObject({ replayed: 0, events: [{ event: id }] })
    expect((await replay({ evnt: id })).status).toBe(400)
  })

  it('repeats nothing under the same mark', async () => {
    const { id } = await send()
    const again = async () =>
      (
        await ask<{ mark: string; replayed: number }>('replay', {
          method: 'POST',
          body: JSON.stringify({ filter: { event: id }, dryRun: false, mark: 'fix-7' }),
        })
      ).body
    expect(await again()).toMatchObject({ mark: 'fix-7', replayed: 1 })
    expect(await again()).toMatchObject({ mark: 'fix-7', replayed: 0 })
  })
})
