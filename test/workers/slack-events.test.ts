import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type FakeServices, fakeServices, runWorker } from '../../src/testing.ts'
import { byRules } from '../../workers/_route.ts'
import slackEvents from '../../workers/slack-events.ts'
import { type Providers, startProviders } from '../harness/providers.ts'

/* The assistant without Redis: its handler with the test kit's services, and providers that are played. */

let outside: Providers
let services: FakeServices
let now: number
beforeEach(async () => {
  outside = await startProviders()
  now = Date.now()
  services = fakeServices({ now: () => now })
})
afterEach(() => outside.stop())

let serial = 0
const thread = '1700000000.000001'
type Options = Parameters<typeof runWorker>[2] & { in?: string }
/** A mention in a thread, and what becomes of it. */
function say(text: string, { in: channel = 'C1', ...options }: Options = {}) {
  serial += 1
  const event = {
    type: 'app_mention',
    channel,
    user: 'U1',
    ts: `${serial}.1`,
    thread_ts: thread,
    text: `<@UBOT> ${text}`,
  }
  const payload = { type: 'event_callback', team_id: 'T1', event }
  return runWorker(slackEvents, payload, { services, tenant: 'T1', id: `job-${serial}`, env: outside.env, ...options })
}
const lastSaid = () => outside.posted.at(-1)?.text
const reads = () => outside.callsOf('notion', '/query').length

describe('what it answers', () => {
  it.each([
    ['help', /create task <title>|Ask me for/],
    ['my tasks', /^<@U1> Tasks:\n• <https:\/\/notion.test\/plants\|Water the plants>$/],
    ['issues', /• <https:\/\/linear.test\/ENG-1\|ENG-1 The login page is slow>/],
    ['issues about login', /^<@U1> Issues with “login”:\n• /],
    ['issues about nothing', /none\.$/],
    ['channels', /<#C0>, <#C1>/],
    ['my day', /Tasks:[\s\S]*Issues:/],
    ['create task', /What is to be done/],
    ['create task: Buy &lt;milk&gt; &amp; bread', /Created the task <.*\|Buy &lt;milk&gt; &amp; bread>\.$/],
    ['create issue Nobody can sign in', /Created the issue <.*\|ENG-2 Nobody can sign in>\.$/],
    ['is it lunch yet?', /^<@U1> I heard you: is it lunch yet\?$/],
    ['', /^<@U1> How can I help\?$/],
  ])('“%s”', async (text, expected) => {
    const ran = await say(text)
    expect(ran).toMatchObject({ outcome: 'done', result: { answered: true } })
    expect(outside.posted).toMatchObject([{ channel: 'C1', thread_ts: thread, text: expect.stringMatching(expected) }])
  })

  it('says to nobody what calls a channel together, and gives providers what was typed', async () => {
    await say('hello &lt;b&gt; <!channel> <https://x.test|there> <#C9|general>')
    expect(lastSaid()).toBe('<@U1> I heard you: hello &lt;b&gt; @channel there #general')
    await say('create task a &lt; b')
    expect(outside.tasks()).toContain('a < b')
  })

  it('says what it would say without a token, and what is not connected', async () => {
    const ran = await say('my tasks', { env: {} })
    expect(ran.result).toEqual({ answered: false, wouldSay: '<@U1> Notion is not connected.' })
    expect(ran.logs).toMatchObject([{ level: 'info', fields: { text: '<@U1> Notion is not connected.' } }])
    expect(outside.calls).toEqual([])
  })

  it('speaks for an organization with its own tokens, and for others with those of the settings', async () => {
    const secrets = { T1: { NOTION_TOKEN: 'notion-of-T1', SLACK_BOT_TOKEN: 'xoxb-of-T1' } }
    services = fakeServices({ secrets })
    await say('create task Buy milk')
    await say('create task Buy bread', { tenant: 'T2' })
    expect(outside.tasks('notion-of-T1')).toContain('Buy milk')
    expect(outside.tasks()).toContain('Buy bread')
    expect(outside.callsOf('slack').map(({ token }) => token)).toEqual(['xoxb-of-T1', 'xoxb-test'])
  })

  it('leaves bots, edits and everything else alone', async () => {
    for (const event of [
      { type: 'app_mention', bot_id: 'B1', channel: 'C1', ts: '1.1', text: 'help' },
      { type: 'message', channel_type: 'channel', channel: 'C1', ts: '1.1', text: 'help' },
      { type: 'reaction_added' },
      { type: 'app_mention', channel: 'C1.>', ts: '1.1', text: 'help' },
      { type: 'app_mention', channel: 'C1', ts: '1.1', thread_ts: '1.1 *', text: 'help' },
      { type: 'app_mention', channel: { C1: 1 }, ts: 1, text: 'help' },
    ])
      expect((await runWorker(slackEvents, { type: 'event_callback', event }, { env: outside.env })).result).toEqual({
        answered: false,
      })
    expect(outside.calls).toEqual([])
  })
})

describe('the conversation', () => {
  it('keeps questions, answers and tool runs in the session of the thread', async () => {
    await say('my tasks')
    await say('issues')
    const [session, ...others] = services.sessions
    expect(others).toEqual([])
    expect(session).toMatchObject({ id: `slack:C1:${thread}`, tenant: 'T1', user: 'U1' })
    expect(session?.messages.map(({ role }) => role)).toEqual(['user', 'assistant', 'user', 'assistant'])
    expect(session?.toolRuns.map(({ tool, ok }) => `${tool} ${ok}`)).toEqual([
      'notion__getDatabases true',
      'notion__getTasks true',
      'slack__postMessage true',
      'linear__getIssues true',
      'slack__postMessage true',
    ])
  })

  it('knows what was asked before, in this thread and no other', async () => {
    await say('my tasks')
    await say('again')
    expect(lastSaid()).toMatch(/^<@U1> Tasks:/)
    await say('recap')
    expect(lastSaid()).toBe('<@U1> You asked:\n1. my tasks\n2. again')
    await say('recap', { in: 'C2' })
    expect(lastSaid()).toBe('<@U1> You have asked nothing in this thread yet.')
    await say('recap', { tenant: 'T2' })
    expect(lastSaid()).toBe('<@U1> You have asked nothing in this thread yet.')
  })

  it('stays small, whatever is answered in it', async () => {
    for (let n = 0; n < 60; n++) await say(`${n} ${'€'.repeat(500)}`)
    const data = JSON.stringify(services.sessions[0]?.data)
    expect(Buffer.byteLength(data)).toBeLessThan(33 * 1_024)
    expect((services.sessions[0]?.data.turns as unknown[] | undefined)?.length).toBeGreaterThan(5)
    expect(outside.posted).toHaveLength(60)
  })

  it('publishes each step under the thread', async () => {
    const { published } = await say('my tasks')
    expect(new Set(published.map(({ topic }) => topic))).toEqual(new Set([`assistant.C1.${thread}`]))
    const steps = published.map(({ data }) => data as Record<string, string>)
    expect(steps.map(({ step, tool, state }) => [step, tool, state].filter(Boolean).join(' '))).toEqual([
      'heard',
      'routed',
      'tool notion__getDatabases running',
      'tool notion__getDatabases done',
      'tool notion__getTasks running',
      'tool notion__getTasks done',
      'tool slack__postMessage running',
      'tool slack__postMessage done',
      'said',
    ])
    expect(steps[1]).toMatchObject({ category: 'tasks', skills: ['tasks'], reasoning: 'names tasks' })
  })
})

describe('the router', () => {
  it('decides by rules', () => {
    const categories = ['help', 'My tasks', 'show open issues', 'add a task x', 'file bug y', 'tasks?', 'multitask']
    expect(categories.map((text) => byRules({ text }))).toMatchObject([
      { category: 'help' },
      { category: 'tasks' },
      { category: 'issues' },
      { skills: ['createTask'] },
      { skills: ['createIssue'] },
      { category: 'tasks' },
      { category: 'small-talk' },
    ])
  })

  it('is asked once an hour for the same request of a tenant', async () => {
    const kept = () => services.cached.filter(({ key }) => key.startsWith('router:decision:'))
    await say('My tasks')
    await say('my tasks ')
    expect(kept()).toMatchObject([{ tenant: 'T1', value: { category: 'tasks', skills: ['tasks'] } }])
    expect((kept()[0]?.expiresAt ?? 0) - now).toBe(3_600_000)
    await say('my tasks', { tenant: 'T2' })
    expect(kept()).toHaveLength(2)
  })
})

describe('the cache of answers', () => {
  it('keeps each tool as long as it may', async () => {
    for (const text of ['my tasks', 'issues', 'channels', 'create issue x']) await say(text)
    const ttls = services.cached
      .filter(({ key }) => key.startsWith('tools:'))
      .map(({ key, expiresAt }) => [key.split(':')[1], (expiresAt - now) / 1_000])
    // The write has emptied Linear's, and asked for the teams before.
    expect(Object.fromEntries(ttls)).toEqual({
      notion__getTasks: 300,
      notion__getDatabases: 3_600,
      slack__getChannels: 600,
    })
    await say('issues')
    const kept = services.cached.find(({ key }) => key.includes('getIssues'))
    expect((kept?.expiresAt ?? 0) - now).toBe(300_000)
  })

  it('spares the provider, and says so in the session', async () => {
    await say('my tasks')
    await say('my tasks')
    expect(reads()).toBe(1)
    expect(services.sessions[0]?.toolRuns.filter(({ note }) => note === 'cached')).toHaveLength(2)
    now += 300_000
    await say('my tasks')
    expect(reads()).toBe(2)
  })

  it("is emptied by a write, of that provider's answers for that tenant alone", async () => {
    const kept = (tenant: string) =>
      services.cached.filter((one) => one.tenant === tenant && one.key.startsWith('tools:')).map(({ key }) => key)
    for (const tenant of ['T1', 'T*']) for (const text of ['my day', 'channels']) await say(text, { tenant })
    const others = kept('T1')
    await say('create task Buy milk', { tenant: 'T*' })
    expect(kept('T1')).toEqual(others)
    expect(kept('T*').map((key) => key.split(':')[1])).toEqual(['linear__getIssues', 'slack__getChannels'])
    await say('my tasks', { tenant: 'T*' })
    expect(lastSaid()).toContain('Buy milk')
  })
})
