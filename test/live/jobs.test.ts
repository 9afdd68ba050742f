import { afterEach, describe, expect, it } from 'vitest'
import quarantine from '../../queues/quarantine.ts'
import { transitionStates } from '../../src/jobs/transitions.ts'
import { startTestApp, type TestApp } from '../harness/app.ts'
import { type Heard, listen } from '../harness/listen.ts'
import { type Follower, follow as followUntilTheEnd } from '../harness/live.ts'
import { type OneQueue, startOneQueue } from '../harness/one-queue.ts'
import { startRedis, type TestRedis } from '../harness/redis.ts'
import { until } from '../harness/until.ts'

let redis: TestRedis
let at: OneQueue
let other: TestApp | undefined
const everybody: Follower[] = []
afterEach(async () => {
  for (const follower of everybody.splice(0)) follower.leave()
  await other?.close()
  other = undefined
  await at?.app.close()
  await redis?.stop()
})

function follow(...args: Parameters<typeof followUntilTheEnd>): Follower {
  const follower = followUntilTheEnd(...args)
  everybody.push(follower)
  return follower
}

/** One process with a worker, which ends jobs at once, and the same queue in another that only serves http. */
async function start({ isWorking = true } = {}): Promise<readonly string[]> {
  redis = await startRedis()
  at = await startOneQueue(redis.url, async () => {}, { env: isWorking ? {} : { ROLES: 'http' } })
  other = await startTestApp(redis.url, {
    env: { KEY_PREFIX: at.app.prefix, ROLES: 'http' },
    definitions: { queues: [at.queue, quarantine], workers: [], ignored: [] },
  })
  return [at.app.url, other.url]
}

/** What BullMQ's own stream says, which is what everybody has to be told. */
async function happened(): Promise<string[]> {
  const entries = await redis.client.xrange(at.bull.toKey('events'), '-', '+')
  return entries.flatMap(([, [, event = '', , id = '']]) =>
    transitionStates.some((state) => state === event) ? [`${event} ${id}`] : [],
  )
}

const told = (events: readonly Heard[]) =>
  events.map(({ event, data }) => {
    const { state, id } = data as { state: string; id: string }
    return event === 'gap' ? 'gap' : `${state} ${id}`
  })

describe('transitions', () => {
  it('are all told, once and in order, to those who go from process to process', async () => {
    const urls = await start()
    const followers = Array.from({ length: 20 }, () => follow(urls, 'topic=jobs.work.>'))
    await Promise.all(followers.map(({ placed }) => placed))
    for (let n = 0; n < 100; n += 1) {
      await at.enqueue(n, { tenant: `T${n % 3}` })
      followers[n % 20]?.cutOff()
    }
    await until(async () => (await at.bull.getCompletedCount()) === 100, 'all jobs are done')
    const all = await happened()
    expect(all).toHaveLength(300)
    await until(() => followers.every(({ events }) => events.length >= 300), 'everybody has heard all')
    for (const { events } of followers) expect(told(events)).toEqual(all)
  })

  it('are all told when the queue store is killed in between', async () => {
    const urls = await start({ isWorking: false })
    const followers = Array.from({ length: 4 }, () => follow(urls, 'topic=jobs.*.waiting&topic=x'))
    await Promise.all(followers.map(({ placed }) => placed))
    for (let n = 0; n < 20; n += 1) await at.enqueue(n)
    await redis.kill()
    followers[0]?.cutOff()
    await redis.restart()
    await until(() => at.enqueue(20).catch(() => undefined), 'jobs are taken again')
    for (let n = 21; n < 40; n += 1) await at.enqueue(n)
    const all = await happened()
    await until(() => followers.every(({ events }) => events.length >= all.length), 'everybody has heard all')
    for (const { events } of followers) expect(told(events)).toEqual(all)
  })

  it.each([
    ['trimmed away', () => redis.client.xtrim(at.bull.toKey('events'), 'MAXLEN', 5)],
    ['removed', () => redis.client.del(at.bull.toKey('events'))],
  ])('that were %s leave a gap', async (_how, lose) => {
    const [url = ''] = await start({ isWorking: false })
    const first = await listen(url, 'topic=jobs.work.*')
    await first.placed
    await at.enqueue(1)
    await first.hears(1)
    first.hangUp()
    for (let n = 0; n < 20; n += 1) await at.enqueue(n)
    await lose()
    await at.enqueue(99)
    const all = await happened()
    // In the other process, which has nothing in memory.
    const back = await listen(other?.url ?? '', 'topic=jobs.work.*', { lastId: first.lastId() })
    await until(() => told(back.events).includes(all.at(-1) ?? ''), 'he has heard the last')
    expect(told(back.events)).toEqual(['gap', ...all])
    expect(back.events[0]?.data).toEqual({ of: 'jobs.work' })
    back.hangUp()
  })

  it('of jobs that nobody can look at any more are told to those only who hear all tenants', async () => {
    const [url = ''] = await start({ isWorking: false })
    const before = await listen(url, 'topic=jobs.work.*')
    await before.placed
    const { id } = await at.enqueue(1, { tenant: 'T-ONE' })
    const { id: kept } = await at.enqueue(2, { tenant: 'T-ONE' })
    await before.hears(2)
    await (await at.bull.getJob(id))?.remove()
    await before.hears(3)
    const again = (query: string) => listen(other?.url ?? '', query, { lastId: afterFirst(before.events) })
    const [all, one] = await Promise.all([again('topic=jobs.work.*'), again('topic=jobs.work.*&tenant=T-ONE')])
    await all.hears(2)
    await one.hears(1)
    expect(told(all.events)).toEqual([`waiting ${kept}`, `removed ${id}`])
    expect(told(one.events)).toEqual([`waiting ${kept}`])
    for (const listener of [before, all, one]) listener.hangUp()
  })
})

/** The id after the first event: what comes back is the rest. */
function afterFirst(events: readonly Heard[]): string {
  return events[0]?.id ?? ''
}
