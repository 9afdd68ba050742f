import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type FakeServices, fakeServices, runWorker } from '../../src/testing.ts'
import { assistantSettings } from '../../workers/_settings.ts'
import slackEvents from '../../workers/slack-events.ts'
import { type Behaviour, type Providers, startProviders } from '../harness/providers.ts'

import { until } from '../harness/until.ts'

/* What the assistant does when what it asks does not work, and when it is itself cut off half-way. */

let outside: Providers
let services: FakeServices
beforeEach(async () => {
  outside = await startProviders()
  services = fakeServices()
})
afterEach(() => outside.stop())

let serial = 0
type Options = NonNullable<Parameters<typeof runWorker>[2]>
function say(text: string, { env, isSilent = false, ...options }: Options & { isSilent?: boolean } = {}) {
  serial += 1
  const event = { type: 'app_mention', channel: 'C1', user: 'U1', ts: `${serial}.1`, thread_ts: '1.1', text }
  const { SLACK_BOT_TOKEN, ...silent } = { ...outside.env, ...env }
  const merged = isSilent ? silent : { ...silent, SLACK_BOT_TOKEN: SLACK_BOT_TOKEN ?? '' }
  const payload = { type: 'event_callback', event }
  return runWorker(slackEvents, payload, { services, tenant: 'T1', id: `job-${serial}`, env: merged, ...options })
}
const said = () => outside.posted.map(({ text }) => text.replace('<@U1> ', ''))
const down = 'Notion does not answer. Try again in a minute.'

describe('too often', () => {
  it('comes again when the provider said, asks nobody before, and for this tenant from no other job', async () => {
    outside.behave('notion', { status: 429, headers: { 'retry-after': '7' }, times: 1 })
    const first = await say('my tasks')
    expect(first).toMatchObject({ outcome: 'rate-limited', next: { do: 'postpone', inMs: 7_000 } })
    const asked = outside.callsOf('notion').length
    const second = await say('my tasks')
    expect(second.outcome).toBe('rate-limited')
    expect((second.next as { inMs: number }).inMs).toBeGreaterThan(5_000)
    expect(outside.callsOf('notion')).toHaveLength(asked)
    expect((await say('issues')).outcome).toBe('done')
    expect((await say('my tasks', { tenant: 'T2' })).outcome).toBe('done')
  })

  it.each([
    ['linear', 'issues', { status: 400, body: { errors: [{ extensions: { code: 'RATELIMITED' } }] } }, 30_000],
    ['notion', 'my tasks', { status: 503, headers: { 'retry-after': '9' } }, 9_000],
    ['slack', 'help', { status: 429, headers: { 'retry-after': '3' } }, 3_000],
    ['slack', 'help', { body: { ok: false, error: 'ratelimited' }, headers: { 'retry-after': '4' } }, 4_000],
  ] as const)('understands %s, for “%s”', async (provider, text, behaviour, inMs) => {
    outside.behave(provider, { ...behaviour, times: 1 })
    expect(await say(text)).toMatchObject({ outcome: 'rate-limited', next: { do: 'postpone', inMs } })
  })

  it('lets an organization call a tool so often a minute; what is cached is no call', async () => {
    // In silence, because to speak is a tool as well.
    const given = { env: { TOOL_LIMIT: '2' }, isSilent: true }
    for (const words of ['a', 'a', 'b']) expect((await say(`issues ${words}`, given)).outcome).toBe('done')
    const over = await say('issues c', given)
    expect(over).toMatchObject({ outcome: 'rate-limited', next: { do: 'postpone' } })
    expect((over.next as { inMs: number }).inMs).toBeGreaterThan(50_000)
    expect((await say('issues c', { ...given, tenant: 'T2' })).outcome).toBe('done')
    expect((await say('my tasks', given)).outcome).toBe('done')
  })

  it('tells people when it would take too long', async () => {
    outside.behave('notion', { status: 429, headers: { 'retry-after': '3600' } })
    expect((await say('my tasks')).outcome).toBe('done')
    expect(said()).toEqual(['Notion wants to be asked less often. Try again later.'])
  })
})

it.each([
  [{ TOOL_LIMIT: '100001' }, 'must be a whole number from 1 to 100000'],
  [{ TOOL_TIMEOUT: '41s' }, 'must be at most 40s'],
  [{ NOTION_API_URL: 'ftp://notion.test' }, 'must be a URL with http or https'],
])('refuses settings with which no tool would work: %j', (env, words) => {
  expect(assistantSettings.safeParse(env).error?.issues.map(({ message }) => message)).toEqual([words])
})

describe('out of order', () => {
  it('mends a hiccup of a read at once, and a longer one with the next attempt', async () => {
    outside.behave('notion', { status: 502, times: 1 })
    expect((await say('my tasks')).outcome).toBe('done')
    outside.behave('linear', { status: 502, times: 2 })
    expect(await say('issues')).toMatchObject({ outcome: 'failed', next: { do: 'retry', inMs: 1_000 } })
    expect((await say('issues', { attempt: 2 })).outcome).toBe('done')
  })

  it('opens the breaker, tells people, and leaves the others alone', async () => {
    outside.behave('notion', { status: 500 })
    expect((await say('my tasks')).outcome).toBe('failed')
    expect((await say('my tasks', { attempt: 2 })).outcome).toBe('failed')
    expect((await say('my tasks', { attempt: 3 })).outcome).toBe('done')
    const asked = outside.callsOf('notion').length
    expect(asked).toBe(5)
    // The next one hears it at once.
    expect((await say('my tasks')).outcome).toBe('done')
    expect(outside.callsOf('notion')).toHaveLength(asked)
    expect((await say('my day')).outcome).toBe('done')
    expect(said()).toEqual([down, down, expect.stringMatching(/^Notion does not answer[\s\S]*\nIssues:\n• /)])
  })

  it('keeps what it has to say for hours while Slack is out of order, and spends no attempt while it is known to be', async () => {
    let later = 0
    services = fakeServices({ now: () => Date.now() + later })
    outside.behave('slack', { status: 500 })
    for (const attempt of [1, 8, 12, 20, 29])
      expect(await say('help', { attempt })).toMatchObject({ outcome: 'failed', next: { do: 'retry' } })
    const asked = outside.callsOf('slack').length
    const resting = await say('help', { attempt: 30 })
    expect(resting).toMatchObject({ outcome: 'deferred', next: { do: 'postpone' } })
    expect((resting.next as { inMs: number }).inMs).toBeGreaterThan(50_000)
    expect(outside.callsOf('slack')).toHaveLength(asked)
    outside.behave('slack')
    later = 61_000
    expect((await say('help', { attempt: 30 })).outcome).toBe('done')
  })

  it('waits for nobody longer than TOOL_TIMEOUT', async () => {
    outside.behave('notion', { hangs: true })
    const began = performance.now()
    const env = { TOOL_TIMEOUT: '1s' }
    const ran = await say('my tasks', { env })
    expect(ran).toMatchObject({ outcome: 'failed', error: { message: 'notion: no answer within 1s' } })
    expect(performance.now() - began).toBeGreaterThan(999)
    expect(services.calls).toMatchObject([{ name: 'notion', outcome: 'failed' }])
    await say('my tasks', { env, attempt: 3 })
    expect(said()).toEqual([down])
  })

  it('is cut off with its attempt, and blames nobody for that', async () => {
    outside.behave('notion', { hangs: true })
    const ran = await say('my tasks', { timeout: '100ms' })
    expect(ran).toMatchObject({ outcome: 'failed', error: { message: 'timed out after 100 ms' } })
    for (let n = 1; n <= 5; n++) {
      const stop = new AbortController()
      const asked = outside.callsOf('notion').length
      const running = say('my tasks', { shutdown: stop.signal })
      await until(() => outside.callsOf('notion').length > asked, 'Notion is asked')
      stop.abort()
      expect((await running).outcome).toBe('interrupted')
    }
    outside.behave('notion')
    await say('my tasks')
    expect(said()).toEqual([expect.stringMatching(/^Tasks:/)])
  })

  it.each([
    [401, { object: 'error', code: 'unauthorized' }, 'Notion says no: unauthorized.'],
    [404, {}, 'Notion says no: HTTP 404.'],
  ])('passes on a refusal (%s) in a word, without a breaker', async (status, body, words) => {
    outside.behave('notion', { status, body })
    for (let n = 0; n < 6; n++) await say('my tasks')
    expect(said()).toEqual(Array(6).fill(words))
  })

  it('takes an answer that it cannot read for a fault', async () => {
    outside.behave('notion', { body: { results: 'none' } })
    expect(await say('my tasks')).toMatchObject({ error: { message: 'notion: an answer of another shape' } })
  })

  it('says nothing of addresses and tokens', async () => {
    const gone = await startProviders()
    await gone.stop()
    const env = { NOTION_API_URL: `${gone.url}/SECRET`, NOTION_TOKEN: 'SECRET' }
    const ran = await say('my tasks', { env })
    expect(ran).toMatchObject({ error: { message: 'notion: cannot be reached (ECONNREFUSED)' } })
    expect(JSON.stringify([ran.logs, services.sessions, services.published])).not.toContain('SECRET')
  })
})

describe('once', () => {
  /** An attempt that is lost right after the provider has done what it was asked: nothing is noted of that. */
  async function cutOff(
    text: string,
    provider: 'slack' | 'notion' | 'linear',
    which: Pick<Behaviour, 'path' | 'saying'>,
  ) {
    outside.behave(provider, { ...which, status: 0, afterwards: true, times: 1 })
    const ran = await say(text)
    expect(ran.outcome).toBe('failed')
    return { id: `job-${serial}`, attempt: 2 }
  }
  const again = (text: string, options: Options) => {
    serial -= 1
    return say(text, options)
  }

  it('says nothing twice: it looks into the thread for what an attempt may have said', async () => {
    const repeated = await cutOff('help', 'slack', { path: '/chat.postMessage' })
    expect(said()).toHaveLength(1)
    expect((await again('help', repeated)).result).toEqual({ answered: true })
    expect((await again('help', repeated)).result).toEqual({ answered: true })
    expect(said()).toHaveLength(1)
    expect(outside.callsOf('slack', '/conversations.replies')).toHaveLength(1)
  })

  it('says it when it finds that it was not said', async () => {
    outside.behave('slack', { path: '/chat.postMessage', status: 500, times: 1 })
    expect((await say('help')).outcome).toBe('failed')
    expect((await again('help', { attempt: 2 })).outcome).toBe('done')
    expect(said()).toHaveLength(1)
  })

  it('says nothing a second time when it may not look, and leaves that to people', async () => {
    const repeated = await cutOff('help', 'slack', { path: '/chat.postMessage' })
    outside.behave('slack', { path: '/conversations.replies', body: { ok: false, error: 'missing_scope' } })
    expect(await again('help', repeated)).toMatchObject({
      outcome: 'dropped',
      reason: expect.stringContaining('(missing_scope)'),
    })
    expect(said()).toHaveLength(1)
  })

  it('does not look where it surely was not said', async () => {
    outside.behave('slack', { status: 429, headers: { 'retry-after': '0' }, times: 1 })
    expect((await say('help')).outcome).toBe('rate-limited')
    expect((await again('help', {})).outcome).toBe('done')
    expect(outside.callsOf('slack', '/conversations.replies')).toEqual([])
  })

  it.each([
    [
      'create task Buy milk',
      'notion',
      { path: '/v1/pages' },
      () => outside.tasks().filter((title) => title === 'Buy milk'),
    ],
    [
      'create issue No light',
      'linear',
      { saying: 'issueCreate' },
      () => outside.issues().filter((title) => title === 'No light'),
    ],
  ] as const)('“%s” makes one, and finds it again', async (text, provider, which, made) => {
    const repeated = await cutOff(text, provider, which)
    expect(made()).toHaveLength(1)
    const second = await again(text, repeated)
    expect(second.result).toEqual({ answered: true })
    expect(made()).toHaveLength(1)
    expect(said().at(-1)).toMatch(/^Created the (task|issue) </)
  })

  it('does no tool again for what it knows already', async () => {
    outside.behave('slack', { status: 500, times: 1 })
    expect((await say('create task Buy milk')).outcome).toBe('failed')
    const asked = outside.callsOf('notion').length
    expect((await again('create task Buy milk', { attempt: 2 })).outcome).toBe('done')
    expect(outside.callsOf('notion')).toHaveLength(asked)
    expect(services.sessions[0]?.messages).toHaveLength(2)
  })

  it.each(['channel_not_found', 'is_archived'])('gives up what Slack will never take (%s)', async (error) => {
    outside.behave('slack', { body: { ok: false, error } })
    expect(await say('help')).toMatchObject({ outcome: 'dropped', reason: `slack: refused with ${error}` })
  })
})
