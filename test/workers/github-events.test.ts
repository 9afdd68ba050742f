import { createRequire } from 'node:module'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { defer, drop } from '../../src/index.ts'
import { samples } from '../../src/ops/samples.ts'
import githubEvents from '../../workers/github-events.ts'
import { type SlackApi, startSlackApi } from '../harness/slack-api.ts'
import { work } from '../harness/work.ts'

type Fields = Record<string, Record<string, unknown>>

const sample = (name: keyof typeof samples.github) =>
  JSON.parse(samples.github[name]?.(Date.now()).body ?? '') as Fields
const summaryOf = async (name: string, payload: unknown) => (await work(githubEvents, { name, payload })).result

let slack: SlackApi
beforeAll(async () => {
  slack = await startSlackApi()
})
beforeEach(() => {
  slack.said.length = 0
  slack.answer({ ok: true })
})
afterAll(() => slack.stop())

it.each([
  ['push', /^millrace-example\/water-wheel: miller-example pushed 1 commit to main: Oil the axle$/],
  ['pull_request.opened', /: miller-example opened pull request #\d+ “Let the wheel turn both ways”$/],
  ['pull_request.closed', /: miller-example merged pull request #\d+ “Let/],
  ['issues.opened', /: miller-example opened issue #\d+ “The wheel squeaks at night”$/],
  ['release.published', /: miller-example published v1\.\d+\.\d+$/],
  ['workflow_run.completed', /: miller-example started Build #\d+ on main, which failed$/],
])('sums %s up in one line', async (name, text) => {
  const { result, logged } = await work(githubEvents, { name, payload: sample(name) })
  expect(result).toMatchObject({
    type: name,
    repository: 'millrace-example/water-wheel',
    by: 'miller-example',
    text: expect.stringMatching(text),
    url: expect.stringMatching(/^https:\/\/github\.com\//),
    notified: false,
  })
  expect(logged).toEqual([[expect.objectContaining({ type: name }), expect.stringMatching(text)]])
})

it.each(['ping', 'star.created', 'issue_comment.created', 'check_run.completed'])('ignores %s', async (name) => {
  expect(await summaryOf(name, sample(name))).toEqual({ ignored: name })
})

it('ignores a workflow run that went well, and a type that only looks like a name of ours', async () => {
  const payload = sample('workflow_run.completed')
  const well = { ...payload, workflow_run: { ...payload.workflow_run, conclusion: 'success' } }
  expect(await summaryOf('workflow_run.completed', well)).toEqual({ ignored: 'workflow_run.completed' })
  expect(await summaryOf('constructor', payload)).toEqual({ ignored: 'constructor' })
  expect(await summaryOf('pull_request.opened', {})).toEqual({ ignored: 'pull_request.opened' })
})

it.each([
  [{ deleted: true, commits: [] }, 'deleted main'],
  [{ created: true, ref: 'refs/tags/v1', commits: [] }, 'created tag v1'],
  [{ created: true, ref: 'refs/heads/a/b', commits: [] }, 'created a/b'],
  [{ commits: [], ref: 'refs/tags/v1' }, 'moved tag v1'],
  [{ forced: true, commits: [{ message: 'a' }, { message: 'b\n\nmore' }] }, 'force-pushed 2 commits to main: b'],
])('says of a push %j: %s', async (more, text) => {
  expect(await summaryOf('push', { ...sample('push'), ...more })).toMatchObject({
    text: `millrace-example/water-wheel: miller-example ${text}`,
  })
})

it('keeps to one line, whatever somebody calls a pull request', async () => {
  const payload = sample('pull_request.closed')
  const title = `a\r\nb\u0000${'🎉'.repeat(200)}`
  const closed = { ...payload, pull_request: { ...payload.pull_request, title, merged: false } }
  const { text } = (await summaryOf('pull_request.closed', closed)) as { text: string }
  expect(text).toMatch(/closed pull request #\d+ “a b 🎉+…”$/u)
  expect([...text].length).toBeLessThan(220)
})

it('gets along with every payload that GitHub has published', async () => {
  type Webhook = { name: string; examples: { action?: string }[] }
  const published = createRequire(import.meta.url)('@octokit/webhooks-examples') as Webhook[]
  for (const { name, examples } of published)
    for (const payload of examples) {
      const type = payload.action ? `${name}.${payload.action}` : name
      const result = await summaryOf(type, payload)
      if (!(result as { ignored?: string }).ignored)
        expect(result).toMatchObject({ type, text: expect.not.stringMatching(/undefined|null|\n/) })
    }
})

const env = () => ({ SLACK_API_URL: slack.url, SLACK_BOT_TOKEN: 'xoxb-1', GITHUB_NOTIFY_SLACK_CHANNEL: 'C1' })

it('tells the Slack channel, where a channel and a token are set', async () => {
  const payload = sample('issues.opened')
  const issue = { ...payload.issue, title: '<!channel> & more' }
  const { result } = await work(githubEvents, { name: 'issues.opened', payload: { ...payload, issue }, env: env() })
  expect(result).toMatchObject({ notified: true })
  const text = expect.stringMatching(/“&lt;!channel&gt; &amp; more” \(<https:\/\/github\.com\/\S+\|open>\)$/)
  expect(slack.said).toEqual([
    { method: 'chat.postMessage', token: 'xoxb-1', message: { channel: 'C1', text, unfurl_links: false } },
  ])
})

it('says nothing in Slack of what it ignores, nor with half of the settings', async () => {
  await work(githubEvents, { name: 'ping', payload: sample('ping'), env: env() })
  for (const missing of ['SLACK_BOT_TOKEN', 'GITHUB_NOTIFY_SLACK_CHANNEL']) {
    const half = Object.fromEntries(Object.entries(env()).filter(([name]) => name !== missing))
    const { result } = await work(githubEvents, { name: 'push', payload: sample('push'), env: half })
    expect(result).toMatchObject({ notified: false })
  }
  expect(slack.said).toEqual([])
})

it('waits when Slack is busy, gives up when Slack never will, and throws when it may', async () => {
  const told = () => work(githubEvents, { name: 'push', payload: sample('push'), env: env() })
  slack.answer({}, 429, { 'retry-after': '7' })
  expect((await told()).result).toEqual(defer('7s', 'slack: rate limited for 7 s'))
  slack.answer({ ok: false, error: 'channel_not_found' })
  expect((await told()).result).toEqual(drop('slack: chat.postMessage answered channel_not_found'))
  slack.answer({}, 500)
  await expect(told()).rejects.toThrow('slack: HTTP 500 from chat.postMessage')
})
