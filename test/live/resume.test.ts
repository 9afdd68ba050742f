import { afterEach, describe, expect, it } from 'vitest'
import { nameHash, positionOf, writeToken } from '../../src/live/position.ts'
import { listen } from '../harness/listen.ts'
import { heardNumbers, type LiveStage, startLive } from '../harness/live.ts'
import { until } from '../harness/until.ts'

let stage: LiveStage
afterEach(() => stage?.end())

/** For a thousand clients in one process with their server, on a machine that is busy with other things. */
const crowdMs = 90_000
const urls = () => stage.apps.map(({ url }) => url)
const numbers = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i)

async function publish(from: number, to: number): Promise<void> {
  for (const n of numbers(from, to)) await stage.publish(undefined, `n.${n % 10}`, n)
}

describe('a thousand clients', () => {
  it(
    'are told everything once and in order, while their connections are cut at random',
    async () => {
      stage = await startLive()
      const followers = Array.from({ length: 1_000 }, () => stage.follow('topic=n.*'))
      await Promise.all(followers.map(({ placed }) => placed))
      const total = 100
      for (let n = 0; n < total; n += 5) {
        await publish(n, n + 5)
        for (let i = 0; i < 50; i += 1) followers[Math.floor(Math.random() * followers.length)]?.cutOff()
      }
      const isThrough = () => followers.every(({ events }) => events.at(-1)?.data === total - 1)
      await until(isThrough, 'everybody has heard the last', crowdMs)
      for (const { events } of followers) expect(heardNumbers(events)).toEqual(numbers(0, total))
      expect(followers.reduce((sum, { returns }) => sum + returns(), 0)).toBeGreaterThan(400)
    },
    2 * crowdMs,
  )
})

describe('two processes', () => {
  it('go on for each other, even when one is behind', async () => {
    stage = await startLive({ processes: 2 })
    const followers = Array.from({ length: 20 }, () => stage.follow('topic=n.*'))
    await Promise.all(followers.map(({ placed }) => placed))
    for (let n = 0; n < 300; n += 3) {
      await publish(n, n + 3)
      followers[n % 20]?.cutOff()
    }
    await until(() => followers.every(({ events }) => events.at(-1)?.data === 299), 'everybody has heard the last')
    for (const { events } of followers) expect(heardNumbers(events)).toEqual(numbers(0, 300))
  })
})

describe('a cache store that is killed', () => {
  /** Whatever is heard is in order, nothing twice, and where something is missing there is a gap. */
  function expectHonest(heard: readonly (number | 'gap')[], from: number): void {
    let last = from - 1
    let isExcused = false
    for (const one of heard) {
      if (one === 'gap') {
        isExcused = true
        continue
      }
      expect(one).toBeGreaterThan(last)
      if (one !== last + 1) expect({ after: last, heard: one, isExcused }).toMatchObject({ isExcused: true })
      last = one
      isExcused = false
    }
  }

  it('and has kept its messages: everybody is told all of them', async () => {
    stage = await startLive()
    const followers = Array.from({ length: 50 }, () => stage.follow('topic=n.*'))
    await Promise.all(followers.map(({ placed }) => placed))
    await publish(0, 50)
    for (const follower of followers.slice(0, 25)) follower.cutOff()
    await stage.cache.kill()
    await stage.cache.restart()
    await publish(50, 100)
    await until(() => followers.every(({ events }) => events.at(-1)?.data === 99), 'everybody has heard the last')
    for (const { events } of followers) expect(heardNumbers(events)).toEqual(numbers(0, 100))
  })

  it('and has lost them: everybody is told of the gap, and of what follows', async () => {
    stage = await startLive({ cache: { appendonly: 'no' } })
    const followers = Array.from({ length: 50 }, () => stage.follow('topic=n.*'))
    await Promise.all(followers.map(({ placed }) => placed))
    await publish(0, 50)
    await until(() => followers.every(({ events }) => events.at(-1)?.data === 49), 'everybody has heard the first')
    // Half of them come back while there is nothing, half of them stay.
    await stage.cache.kill()
    for (const follower of followers.slice(0, 25)) follower.cutOff()
    await stage.cache.restart()
    await publish(50, 100)
    await until(() => followers.every(({ events }) => events.at(-1)?.data === 99), 'everybody has heard the last')
    for (const { events } of followers) {
      const heard = heardNumbers(events)
      expect(heard.filter((one) => one === 'gap').length).toBeGreaterThan(0)
      expectHonest(heard, 0)
      expect(heard.filter((one) => one !== 'gap')).toEqual(numbers(0, 100))
    }
  })

  it('and comes back with an older state: the ids of what it has forgotten mean nothing else', async () => {
    stage = await startLive({ cache: { appendonly: 'no' } })
    const staying = stage.follow('topic=n.*')
    await staying.placed
    await publish(0, 10)
    await stage.cache.client.save()
    await publish(10, 20)
    await until(() => staying.events.at(-1)?.data === 19, 'he has heard what is to be forgotten')
    const away = stage.follow('topic=n.*')
    await away.placed
    await stage.cache.kill()
    away.cutOff()
    await stage.cache.restart()
    await publish(20, 30)
    await until(() => [staying, away].every(({ events }) => events.at(-1)?.data === 29), 'both have heard the last')
    expect(heardNumbers(staying.events)).toEqual([...numbers(0, 20), 'gap', ...numbers(20, 30)])
    expect(heardNumbers(away.events)).toEqual(['gap', ...numbers(20, 30)])
  })

  it('while nobody publishes: the gap is told all the same', async () => {
    stage = await startLive({ cache: { appendonly: 'no' } })
    const follower = stage.follow('topic=n.*')
    await follower.placed
    await publish(0, 3)
    await until(() => follower.events.length === 3, 'he has heard the first')
    await stage.cache.kill()
    await stage.cache.restart()
    await until(() => follower.events.length === 4, 'he is told')
    expect(heardNumbers(follower.events)).toEqual([0, 1, 2, 'gap'])
    follower.leave()
  })
})

describe('a cache store whose clock went back', () => {
  it('has its stream anew with ids that look old: the gap is told all the same', async () => {
    stage = await startLive()
    const listener = await listen(urls()[0] ?? '', 'topic=n.*')
    await listener.placed
    await publish(0, 2)
    await listener.hears(2)
    const fields = ['before', '0-0', 'sum', '100', 'tenant', '', 'topic', 'n.1', 'data', '7']
    await stage.cache.client
      .multi()
      .del(stage.key)
      .xadd(stage.key, '5-1', ...fields)
      .exec()
    await listener.hears(3)
    await publish(8, 9)
    await listener.hears(4)
    expect(heardNumbers(listener.events)).toEqual([0, 1, 'gap', 8])
    listener.hangUp()
  })
})

describe('who was away for too long', () => {
  it('is told of the gap, and what is left of it', async () => {
    stage = await startLive()
    const follower = stage.follow('topic=n.*')
    await follower.placed
    await publish(0, 1)
    await until(() => follower.events.length === 1, 'he has heard the first')
    const lastId = follower.events[0]?.id ?? ''
    follower.leave()
    // In pieces, or the store would be waited for ten thousand times.
    for (let n = 1; n < 12_001; n += 500)
      await Promise.all(numbers(n, Math.min(n + 500, 12_001)).map((one) => stage.publish(undefined, 'n.x', one)))
    const back = await listen(urls()[0] ?? '', 'topic=n.*', { lastId })
    await until(() => back.events.at(-1)?.data === 12_000, 'he has heard the last')
    const [first, ...heard] = heardNumbers(back.events)
    expect(first).toBe('gap')
    expect(heard.length).toBeGreaterThanOrEqual(10_000)
    expect(heard).toEqual(numbers(12_001 - heard.length, 12_001))
    back.hangUp()
  })
})

describe('who comes back with a place that the store has forgotten', () => {
  it('is told of the gap, though it lies between two that are there', async () => {
    stage = await startLive()
    const staying = await listen(urls()[0] ?? '', 'topic=n.*')
    await staying.placed
    const first = positionOf(await stage.publish(undefined, 'n.1', 1))
    // Within one millisecond there would be nothing between the two.
    await until(() => Date.now() > first.ms, 'the clock ticks')
    await stage.publish(undefined, 'n.1', 2)
    await staying.hears(2)
    const forgotten = writeToken([[nameHash('messages'), { ms: first.ms, seq: first.seq + 7 }]])
    const back = await listen(urls()[0] ?? '', 'topic=n.*', { lastId: forgotten })
    await back.hears(2)
    await back.placed
    expect(heardNumbers(back.events)).toEqual(['gap', 2])
    for (const one of [staying, back]) one.hangUp()
  })
})
