import { afterAll, beforeAll, expect, it } from 'vitest'
import { type CommandLine, startCommandLine } from './harness/cli.ts'
import { until } from './harness/until.ts'

/* The command line as a newcomer uses it: nothing configured, managed stores, a running server. */

let line: CommandLine
beforeAll(async () => {
  line = await startCommandLine()
})
afterAll(() => line.end())

const cli = (...args: string[]) => line.run(...args)

// biome-ignore lint/suspicious/noExplicitAny: what a command prints has any shape
const json = (...args: string[]) => line.json<any>(...args)

it.each(['app_mention', 'message', 'reaction_added'])('sends a genuine %s, which is worked on', async (event) => {
  const [sent] = await json('send', 'slack', event)
  expect(sent).toMatchObject({ status: 200, duplicate: false, stored: 'queue', error: null })
  await until(async () => {
    const jobs = (await json('jobs', 'slack-events', '--state', 'completed')) as { event: string }[]
    return jobs.some((job) => job.event === sent.id)
  }, 'it is completed')
})

it('sends a command to its own queue', async () => {
  await cli('send', 'slack', 'command')
  await until(async () => ((await json('jobs', 'slack-commands')) as unknown[]).length === 1, 'it is there')
})

it('enqueues, once for a key', async () => {
  const payload = '{"type":"event_callback"}'
  const first = await json('enqueue', 'slack-events', payload, '--dedupe-key', 'k')
  expect(first).toMatchObject({ duplicate: false })
  expect(await json('enqueue', 'slack-events', payload, '--dedupe-key', 'k')).toEqual({ id: first.id, duplicate: true })
  expect(await json('jobs', 'slack-events', first.id)).toMatchObject({
    id: first.id,
    payload: { type: 'event_callback' },
  })
})

it('shows the queues', async () => {
  expect((await json('queues')).map((queue: { name: string }) => queue.name)).toEqual([
    'cache-warm',
    'github-events',
    'quarantine',
    'slack-commands',
    'slack-events',
    'stripe-events',
  ])
  expect((await cli('queues')).output).toMatch(/^QUEUE +WAITING +ACTIVE/)
})

it('shows and changes a limit, and tells of it among the queues', async () => {
  expect((await cli('limit', 'stripe-events')).output).toBe('stripe-events: no limit; as the queue file says\n')
  const set = 'stripe-events: 7 starts in 2s; set at run time\n'
  expect((await cli('limit', 'stripe-events', '--max', '7', '--per', '2s')).output).toBe(set)
  expect((await cli('limit', 'stripe-events')).output).toBe(set)
  expect((await cli('queues')).output).toMatch(/^stripe-events .* 7 starts in 2s \(set\)$/m)
  expect(await json('limit', 'stripe-events', '--reset')).toMatchObject({ limit: null, isSet: false })
})

it('finds nothing wrong with a running server', async () => {
  const checks = (await json('doctor')) as { name: string; state: string; detail: string }[]
  expect(checks.filter((check) => check.state === 'fail')).toEqual([])
  expect(checks.find((check) => check.name === 'server')).toMatchObject({ state: 'ok' })
})

it.each([
  [['send', 'slack', 'nothing'], 2, 'Allowed choices are app_mention'],
  [['send', 'slack', 'app_mention', '--count', 'many'], 2, 'whole number'],
  [['send', 'slack', 'app_mention', '--url', 'http://127.0.0.1:1'], 1, 'does not answer'],
  [['send', 'slack', 'app_mention', '--source', 'other'], 1, "there is no source 'other'"],
  [
    ['enqueue', 'nope', '{}'],
    1,
    'there are cache-warm, github-events, quarantine, slack-commands, slack-events, stripe-events',
  ],
  [['enqueue', 'slack-events', '{'], 1, 'not JSON'],
  [['enqueue', 'slack-events', '{"type":5}'], 1, 'type: '],
  [['jobs', 'slack-events', 'nope'], 1, 'there is no job nope'],
  [['schedules', 'nope'], 1, "there is no queue 'nope'"],
  [['schedules'], 0, 'cache-warm  default  every 30m'],
  [['schedules', '--json'], 0, '"queue": "cache-warm"'],
  [['enqueue', 'slack-events', '{}', '--delay', 'soon'], 2, 'duration such as 30s'],
  [['limit', 'stripe-events', '--max', '5'], 2, '--max and --per go together'],
  [['limit', 'stripe-events', '--max', '20000', '--per', '1s'], 2, 'at most 10000'],
  [['limit', 'stripe-events', '--reset', '--max', '5', '--per', '1s'], 2, 'or --reset'],
  [['tenant', 'stripe-events', 'acme'], 1, 'no turns between tenants'],
  [['tenant', 'stripe-events', 'acme', '--weight', 'x'], 2, 'from 0.01 to 100'],
  [['jobs', 'stripe-events', '--state', 'dead'], 0, 'no such jobs'],
  [['keys', 'stripe-events'], 0, "'stripe-events' has no order by key: its file says no order"],
  [['send', 'slack', 'app_mention', '--url', 'localhost'], 2, '--url must be that of a server'],
  [['nonsense'], 2, 'unknown command'],
  [[], 2, 'Usage: millrace'],
  [['--help'], 0, 'Usage: millrace'],
  [['send', '--help'], 0, '--count'],
] as const)('%j exits with %i and says why', async (args, code, said) => {
  const result = await cli(...args)
  expect(result.output).toContain(said)
  expect(result.code).toBe(code)
})
