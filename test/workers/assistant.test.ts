import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { adminKey } from '../harness/app.ts'
import { mentionIn, type Rig, type Said, startRig } from '../harness/assistant.ts'
import { until } from '../harness/until.ts'

/* Slack's signed events into a real process, and what the assistant then says in the thread. */

let rig: Rig
beforeAll(async () => {
  // Nothing that hangs here is to end by itself.
  rig = await startRig({ TOOL_TIMEOUT: '30s' })
})
afterAll(() => rig?.stop())
beforeEach(() => {
  for (const provider of ['slack', 'notion', 'linear'] as const) rig.outside.behave(provider)
})

const say = (text: string, options: Parameters<typeof mentionIn>[2] = {}) => mentionIn(rig, text, options)
const down = 'Notion does not answer. Try again in a minute.'

it('answers an event once, however often Slack sends it', async () => {
  const first = await say('my tasks')
  for (let n = 0; n < 3; n++) await say('my tasks', { event: first.event, thread: first.thread })
  expect(await first.reply()).toMatch(/^Tasks:\n• <https/)
  await (await say('help')).reply()
  expect(first.replies()).toHaveLength(1)
})

it('knows what was said in the thread before', async () => {
  const first = await say('is it lunch yet?')
  await first.reply()
  const second = await say('recap', { thread: first.thread })
  expect(await second.reply(2)).toBe('You asked:\n1. is it lunch yet?')
  expect(await (await say('recap', { thread: first.thread, team: 'T2' })).reply(3)).toMatch(/nothing in this thread/)
})

it("forgets with a write that provider's answers, of that organization alone", async () => {
  const teams = { a: 'T*', b: 'T1' }
  for (const team of Object.values(teams))
    for (const text of ['my day', 'channels']) await (await say(text, { team })).reply()
  const counts = () => ({
    notion: rig.outside.callsOf('notion', '/query').length,
    linear: rig.outside.callsOf('linear').length,
    slack: rig.outside.callsOf('slack', '/conversations.list').length,
  })
  const made = await say('create task Buy milk', { team: teams.a })
  expect(await made.reply()).toMatch(/^Created the task </)
  const before = counts()
  for (const text of ['my day', 'channels']) await (await say(text, { team: teams.b })).reply()
  expect(counts()).toEqual(before)
  expect(await (await say('my day', { team: teams.a })).reply()).toContain('Buy milk')
  await (await say('channels', { team: teams.a })).reply()
  expect(counts()).toEqual({ ...before, notion: before.notion + 1 })
})

it('asks a provider that says when not before, and asks again then', async () => {
  rig.outside.behave('linear', { status: 429, headers: { 'retry-after': '2' }, times: 1 })
  const before = rig.outside.callsOf('linear').length
  const both = await Promise.all(['issues limited', 'issues unlimited'].map((text) => say(text, { team: 'T429' })))
  for (const said of both) expect(await said.reply()).toMatch(/^Issues with/)
  const [first, ...later] = rig.outside.callsOf('linear').slice(before)
  const soonest = Math.min(...later.map(({ at }) => at)) - (first?.at ?? 0)
  // The second of the two may have been on its way already.
  const isTogether = soonest < 500
  const waits = later.map(({ at }) => at - (first?.at ?? 0)).filter((wait) => !isTogether || wait > 500)
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(2_000)
})

it('acknowledges events while tools hang, and answers when they go on', async () => {
  rig.outside.behave('notion', { hangs: true })
  const asked = await Promise.all(Array.from({ length: 15 }, (_, n) => say('my tasks', { team: `T-slow-${n}` })))
  await until(() => rig.outside.callsOf('notion').length >= 15, 'all of them hang')
  // All of these are acknowledged, which say() checks, and answered, while nothing of Notion's comes.
  const others = await Promise.all(Array.from({ length: 20 }, (_, n) => say(`hello ${n}`)))
  for (const [n, said] of others.entries()) expect(await said.reply()).toBe(`I heard you: hello ${n}`)
  expect(asked.flatMap((said) => said.replies())).toEqual([])
  rig.outside.behave('notion')
  rig.outside.release()
  for (const said of asked) expect(await said.reply()).toMatch(/^Tasks:/)
})

it('tells each step to who listens, and to nobody of another organization', async () => {
  const abort = new AbortController()
  const listen = async (query: string) => {
    const headers = { Authorization: `Bearer ${adminKey}` }
    const response = await fetch(`${rig.main.url}/api/stream?${query}`, { headers, signal: abort.signal })
    expect(response.status).toBe(200)
    const heard: { topic: string; data: Record<string, string> }[] = []
    const read = async () => {
      let text = ''
      for await (const chunk of response.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        text += chunk
        const blocks = text.split('\n\n')
        text = blocks.pop() ?? ''
        for (const [, data = ''] of blocks.flatMap((block) => [...block.matchAll(/^data: (.*)$/gm)]))
          heard.push(JSON.parse(data))
      }
    }
    read().catch(() => {})
    return heard
  }
  const ours = await listen('topic=assistant.CSSE.%3E&tenant=TSSE')
  const theirs = await listen('topic=assistant.%3E&tenant=TOTHER')
  const said = await say('my tasks', { team: 'TSSE', channel: 'CSSE' })
  await until(() => ours.some(({ data }) => data.step === 'said'), 'the last step is heard')
  expect(new Set(ours.map(({ topic }) => topic))).toEqual(new Set([`assistant.CSSE.${said.thread}`]))
  const steps = ours.map(({ data }) => [data.step, data.tool, data.state].filter(Boolean).join(' '))
  expect(steps.slice(0, 3)).toEqual(['heard', 'routed', 'tool notion__getDatabases running'])
  expect(steps).toContain('tool notion__getTasks done')
  await until(() => said.replies().length === 1, 'it is said')
  expect(theirs).toEqual([])
  abort.abort()
})

it('tells people that a provider is broken, and leaves the others alone', async () => {
  rig.outside.behave('notion', { status: 500 })
  expect(await (await say('my tasks', { team: 'T500' })).reply()).toBe(down)
  const asked = rig.outside.callsOf('notion').length
  expect(await (await say('my day', { team: 'T500' })).reply()).toMatch(/^Notion does not answer[\s\S]*\nIssues:\n• /)
  expect(rig.outside.callsOf('notion')).toHaveLength(asked)
})

describe('with the cache store killed', () => {
  it('goes on answering, and remembers', async () => {
    const first = await say('issues', { team: 'TC' })
    await first.reply()
    await rig.cache.kill()
    const during: Said[] = []
    for (const text of ['issues down', 'hello', 'channels']) during.push(await say(text, { team: 'TC' }))
    expect(await during[0]?.reply()).toBe('Issues with “down”: none.')
    expect(await during[1]?.reply()).toBe('I heard you: hello')
    expect(await during[2]?.reply()).toMatch(/^Channels: /)
    expect(await (await say('recap', { team: 'TC', thread: first.thread })).reply(2)).toBe('You asked:\n1. issues')
    await rig.cache.restart()
    expect(await (await say('issues', { team: 'TC' })).reply()).toMatch(/^Issues:/)
  })

  // Its connections are just coming back, or not yet.
  it('stops in time', async () => {
    expect(await rig.main.kill('SIGTERM')).toBe(0)
  })
})
