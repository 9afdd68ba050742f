import { afterAll, beforeAll, expect, it } from 'vitest'
import { type CommandLine, startCommandLine } from './harness/cli.ts'
import { until } from './harness/until.ts'

/* Events of every provider from the command line, found again and replayed from there. */

let line: CommandLine
beforeAll(async () => {
  line = await startCommandLine()
})
afterAll(() => line.end())

const cli = (...args: string[]) => line.run(...args)

type Found = { event: string; outcomes: { queue: string; state: string }[] }
const json = <T>(...args: string[]) => line.json<T>(...args)
const send = async (provider: string, event: string) =>
  (await json<{ id: string; status: number }[]>('send', provider, event))[0]
const isDone = ({ outcomes }: Found) => outcomes.every(({ state }) => ['completed', 'dead'].includes(state))

it.each([
  ['github', 'pull_request.opened', 'github-events', 'completed'],
  ['stripe', 'payment_intent.succeeded', 'stripe-events', 'completed'],
  // No queue that is shipped takes these.
  ['standard', 'contact.created', 'quarantine', 'dead'],
])('finds what %s has sent, with its outcome', async (provider, event, queue, state) => {
  const sent = await send(provider, event)
  expect(sent?.status).toBe(202)
  const found = await until(async () => {
    const one = await json<Found>('inbox', sent?.id ?? '')
    return isDone(one) ? one : undefined
  }, 'it has run')
  expect(found).toMatchObject({ source: provider, type: event, outcomes: [{ queue, state }] })
  expect(found).toHaveProperty('payload')
})

it('lists them by type, and says when there is none', async () => {
  await send('github', 'push')
  const { output } = await cli('inbox', '--type', 'push', '--since', '1h')
  expect(output).toMatch(/^EVENT +SOURCE +TYPE +TENANT +STORED +OUTCOME\n\S+ +github +push /)
  expect((await cli('inbox', '--type', 'nothing')).output).toBe('no such events\n')
  expect(await cli('inbox', 'nobody')).toMatchObject({ code: 1, output: expect.stringContaining("no event 'nobody'") })
  expect((await cli('inbox', '--since', 'whenever')).code).toBe(2)
})

it('replays only with --yes, once for a mark, and never a replay by accident', async () => {
  const sent = await send('github', 'issues.opened')
  const id = sent?.id ?? ''
  const plan = await cli('replay', '--type', 'issues.opened')
  expect(plan.output).toMatch(/1 +github:issues\.opened\n.*\n1 would be replayed; do it with --yes\n$/)
  expect(await json<unknown[]>('inbox', '--type', 'issues.opened')).toHaveLength(1)

  expect((await cli('replay', '--type', 'issues.*', '--yes', '--mark', 'fix-1')).output).toBe(
    '1 replayed; mark: fix-1\n',
  )
  expect((await cli('replay', id, '--yes', '--mark', 'fix-1')).output).toBe(
    '0 replayed; 1 were already, under the mark fix-1; mark: fix-1\n',
  )
  const events = await json<Found[]>('inbox', '--type', 'issues.opened')
  expect(events.map(({ event }) => event)).toEqual([`${id}~fix-1`, id])
  expect((await cli('replay', '--type', 'issues.opened')).output).toContain('1 would be replayed')
})

it('wants to know which', async () => {
  expect(await cli('replay')).toMatchObject({ code: 2, output: expect.stringContaining('--since 1h') })
  expect(await cli('replay', 'nobody', '--yes')).toMatchObject({ code: 1, output: expect.stringContaining('nobody') })
})
