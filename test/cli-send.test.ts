import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { signerOf } from '../src/cli/signers.ts'
import { loadConfig } from '../src/config.ts'
import { sourcesOf } from '../src/ops/first-start.ts'
import { samples } from '../src/ops/samples.ts'
import { outcomeOf, send } from '../src/ops/send.ts'
import { type CommandLine, startCommandLine } from './harness/cli.ts'
import { runMillrace } from './harness/process.ts'
import { mention } from './harness/slack.ts'
import { until } from './harness/until.ts'

/* `millrace send` against a running server. */

let line: CommandLine
beforeAll(async () => {
  line = await startCommandLine()
})
afterAll(() => line.end())

const cli = (...args: string[]) => line.run(...args)

type Shown = { id: string; status: number; duplicate: boolean; stored: string | null }
const json = (...args: string[]) => line.json<Shown[]>(...args)
const jobsIn = async (queue: string) => (await json('jobs', queue, '--limit', '5000')).length

describe('slack', () => {
  const handshakes = ['url_verification', 'ssl_check']

  // Not each in a process of its own: what the command adds to this is below.
  it.each(Object.entries(samples.slack).filter(([event]) => !handshakes.includes(event)))(
    'has %s taken and kept',
    async (_event, make) => {
      const sources = sourcesOf(loadConfig({ DATA_DIR: line.dataDir })).value
      const sign = signerOf('slack', sources, 'slack')
      const now = Date.now()
      const options = { url: line.server.url, source: 'slack', count: 3, concurrency: 3, sign }
      const sent = await send({ ...options, make: () => make(now) })
      // Of one team and moment there is one such notice.
      const outcomes =
        make(now).type === 'app_rate_limited' ? ['duplicate', 'duplicate', 'stored'] : Array(3).fill('stored')
      expect(sent.map(outcomeOf).sort()).toEqual(outcomes)
    },
  )

  it.each(handshakes)('has %s answered', async (event) => {
    const { code, output } = await cli('send', 'slack', event)
    expect(output).toMatch(/^200 {2}answered in [\d.]+ ms, and not stored/)
    expect(code).toBe(0)
  })

  it('has put nothing into quarantine', async () => {
    expect(await jobsIn('quarantine')).toBe(0)
  })

  it('says where to see it', async () => {
    const { output } = await cli('send', 'slack', 'message')
    expect(output).toMatch(
      /^200 {2}Ev\w+ {2}[\d.]+ ms {2}stored in the queue\nSee it: http:\S+\/dashboard\/inbox\/Ev\w+\n$/,
    )
  })
})

it('sends many, at a rate, and sums them up', async () => {
  const { code, output } = await cli(
    'send',
    'slack',
    'message',
    '--count',
    '120',
    '--rate',
    '200',
    '--concurrency',
    '8',
  )
  expect(output).toMatch(
    /^120 sent in [\d.]+ s \(\d+\/s\): 120 stored\np50 [\d.]+ ms, p90 [\d.]+ ms, p99 [\d.]+ ms, max [\d.]+ ms\n {2}≤ /,
  )
  expect(Number(/sent in ([\d.]+) s/.exec(output)?.[1])).toBeGreaterThanOrEqual(0.5)
  expect(code).toBe(0)
})

it('makes one job of an event that it sends four times', async () => {
  const before = await jobsIn('slack-commands')
  const { code, output } = await cli('send', 'slack', 'command', '--count', '10', '--duplicate', '3')
  expect(output).toMatch(/^40 sent in .*: 30 duplicate, 10 stored\n/)
  expect(code).toBe(0)
  expect((await jobsIn('slack-commands')) - before).toBe(10)
})

describe('--tamper', () => {
  it.each(['message', 'command', 'ssl_check'])('has %s refused, which is a success', async (event) => {
    const { code, output } = await cli('send', 'slack', event, '--tamper')
    expect(output).toBe('refused with 401, as it should be\n')
    expect(code).toBe(0)
  })

  it('tells of many', async () => {
    const { code, output } = await cli('send', 'slack', 'message', '--tamper', '--count', '3')
    expect(output).toMatch(/^3 sent in .*: 3 refused 401\n[\s\S]*\nrefused with 401, as it should be, all 3\n$/)
    expect(code).toBe(0)
    expect((await json('send', 'slack', 'message', '--tamper')).map(({ status }) => status)).toEqual([401])
  })

  it('fails when a server takes it, and when none answers', async () => {
    const { createServer } = await import('node:http')
    const gullible = createServer((request, response) => request.resume().on('end', () => response.end()))
    await new Promise<void>((listening) => gullible.listen(0, '127.0.0.1', listening))
    const { port } = gullible.address() as { port: number }
    const taken = await cli('send', 'slack', 'message', '--tamper', '--url', `http://127.0.0.1:${port}`)
    gullible.closeAllConnections()
    gullible.close()
    expect(taken).toEqual({ code: 1, output: 'the server took 1 of 1 with a broken signature\n' })
    const silent = await cli('send', 'slack', 'message', '--tamper', '--url', 'http://127.0.0.1:1')
    expect(silent.output).toContain('neither taken nor refused with 401: no answer')
    expect(silent.code).toBe(1)
  })
})

describe('--file', () => {
  it('sends a body as it is, which is a duplicate the second time', async () => {
    const file = join(line.dataDir, 'mention.json')
    writeFileSync(file, mention('EvFROMAFILE'))
    const [first] = await json('send', 'slack', '--file', file)
    expect(first).toMatchObject({ id: 'EvFROMAFILE', status: 200, duplicate: false })
    expect(await json('send', 'slack', '--file', file)).toMatchObject([{ id: 'EvFROMAFILE', duplicate: true }])
  })

  it('takes standard input, and a content type', async () => {
    const run = runMillrace(
      { DATA_DIR: line.dataDir, PORT: '' },
      ['send', 'slack', '--file', '-', '--content-type', 'application/x-www-form-urlencoded', '--json'],
      'cli.js',
      'pipe',
    )
    run.child.stdin?.end(samples.slack.command?.(Date.now()).body)
    await run.ended
    const [sent] = JSON.parse(run.output()) as Shown[]
    expect(sent).toMatchObject({ status: 200, stored: 'queue' })
    await until(async () => (await json('jobs', 'slack-commands', '--text', '/deploy')).length > 0, 'it is a command')
  })

  it('says that a file is not there', async () => {
    const { code, output } = await cli('send', 'slack', '--file', join(line.dataDir, 'gone.json'))
    expect(output).toContain('gone.json cannot be read: ENOENT')
    expect(code).toBe(1)
  })
})

describe('--list', () => {
  it.each(['slack', 'github', 'stripe'] as const)('lists the events of %s', async (provider) => {
    const { output } = await cli('send', provider, '--list')
    const names = output.trim().split('\n').slice(1)
    expect(names.map((line) => line.split(' ')[0])).toEqual(Object.keys(samples[provider]))
  })

  it('says where types are free', async () => {
    expect((await cli('send', 'standard', '--list')).output).toMatch(/contact\.created[\s\S]*any other/)
    expect(await json('send', 'slack', '--list')).toContainEqual({
      event: 'message_changed',
      type: 'message.message_changed',
      contentType: 'application/json',
    })
  })
})

it.each([
  [['send', 'nobody', 'message'], 2, 'Allowed choices are slack, github, stripe, standard, hmac'],
  [['send', 'slack'], 2, 'which event? Allowed choices are app_mention'],
  [['send', 'github', 'pull_request'], 2, "no github event 'pull_request'"],
  [['send', 'slack', 'message', '--rate', '0'], 2, 'whole number'],
  [['send', 'slack', 'message', '--type', 'x'], 2, '--type goes with --file'],
  [['send', 'github', '--file', '-'], 2, 'name it with --type'],
  [['send', '--help'], 0, 'what is sent twice is a duplicate'],
] as const)('%j exits with %i and says %s', async (args, code, said) => {
  const result = await cli(...args)
  expect(result.output).toContain(said)
  expect(result.code).toBe(code)
})
