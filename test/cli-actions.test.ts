import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DeadSummary } from '../src/jobs/groups.ts'
import type { JobSummary } from '../src/jobs/inspect.ts'
import { type CommandLine, startCommandLine } from './harness/cli.ts'
import { until } from './harness/until.ts'

/* What an engineer does at 3 a.m., from a shell, beside a running server. quarantine buries whatever it gets. */

let line: CommandLine
beforeAll(async () => {
  line = await startCommandLine()
})
afterAll(() => line.end())

const cli = (...args: string[]) => line.run(...args)
const me = /\(by cli(:[\w.-]+)?\)|by cli(:[\w.-]+)?/

const job = (id: string, queue = 'quarantine') => line.json<JobSummary>('jobs', queue, id)
const inState = (id: string, state: string, queue = 'quarantine') =>
  until(async () => (await job(id, queue)).state === state, `${id} is ${state}`)
async function enqueue(): Promise<string> {
  const { id } = await line.json<{ id: string }>('enqueue', 'quarantine', JSON.stringify(kept))
  return id
}
/** What the edge keeps of an event that it could not read. */
const kept = {
  source: 'slack',
  event: 'E1',
  receivedAt: '2026-01-02T03:04:05Z',
  contentType: 'text/plain',
  reason: 'not JSON',
  body: '',
}

describe('pause, cancel, retry, resume', () => {
  it('hold a queue, take a job out of it, and put it back', async () => {
    const paused = await cli('pause', 'quarantine')
    expect(paused).toMatchObject({ code: 0 })
    expect(paused.output).toMatch(/^quarantine is paused by cli(:\S+)? since \S+: \d+ waiting, 0 active\n$/)
    const id = await enqueue()
    expect(await cli('retry', 'quarantine', id)).toEqual({ code: 0, output: `${id} is waiting already\n` })
    expect(await cli('cancel', 'quarantine', id, '--reason', 'a mistake')).toEqual({
      code: 0,
      output: `${id} was waiting, and is dead now\n`,
    })
    const { reason } = await job(id)
    expect(reason).toMatch(/^cancelled: a mistake /)
    expect(reason).toMatch(me)
    expect(await cli('cancel', 'quarantine', id)).toEqual({ code: 0, output: `${id} is dead already\n` })
    expect(await line.json('retry', 'quarantine', id)).toMatchObject({ id, state: 'waiting', was: 'failed' })
    expect(await line.json('resume', 'quarantine')).toMatchObject({ name: 'quarantine', paused: false, pausedBy: null })
    await inState(id, 'failed')
  })

  it('say why a job waits, and change how fast they start', async () => {
    await cli('pause', 'quarantine')
    const id = await enqueue()
    expect((await cli('explain', 'quarantine', id)).output).toMatch(
      /^queue-paused \(.*\nThe queue is paused by .*\nTo do: /,
    )
    expect(await line.json('limit', 'quarantine', '--max', '9', '--per', '1s')).toEqual({
      queue: 'quarantine',
      limit: { max: 9, perMs: 1_000 },
      isByKey: false,
      isSet: true,
    })
    expect((await cli('limit', 'quarantine', '--reset')).output).toBe('quarantine: no limit; as the queue file says\n')
    await cli('resume', 'quarantine')
    await inState(id, 'failed')
    expect(await line.json('explain', 'quarantine', id)).toMatchObject({ id, code: 'dropped', until: null })
    expect((await cli('keys', 'quarantine')).output).toBe("'quarantine' has no order by key: its file says no order\n")
  })

  it.each([
    [['explain', 'quarantine', 'nobody'], 1, /no job nobody/],
    [['limit', 'quarantine', '--max', '9'], 2, /--max and --per/],
    [['limit', 'quarantine', '--per', 'soon'], 2, /duration/],
    [['tenant', 'quarantine', 't', '--concurrency', '2'], 1, /no turns between tenants/],
    [['keys', 'quarantine', '--free', 'k'], 1, /no job holds the key/],
    [['retry', 'quarantine', 'nobody'], 1, /no job nobody/],
    [['cancel', 'nothing', 'x'], 1, /no queue "nothing"; there are .*quarantine/],
    [['pause', 'nothing'], 1, /no queue/],
    [['retry', 'quarantine'], 2, /missing required argument 'id'/],
    [['cancel', 'quarantine', 'x', '--because'], 2, /unknown option/],
    [['resume'], 2, /missing required argument 'queue'/],
    [['redrive', 'nothing'], 1, /no queue/],
    [['redrive', 'quarantine', '--rate', 'fast'], 2, /50\/s/],
    [['redrive', 'quarantine', '--since', 'whenever'], 2, /duration such as 30m/],
    [['dead', 'nothing'], 1, /no queue/],
  ])('%j fails with %i', async (args, code, says) => {
    const ran = await cli(...args)
    expect(ran.code).toBe(code)
    expect(ran.output).toMatch(says)
  })

  it.each(['retry', 'cancel', 'pause', 'resume', 'dead', 'redrive'])('%s explains itself', async (name) => {
    const { code, output } = await cli(name, '--help')
    expect(code).toBe(0)
    expect(output).toContain(`Usage: millrace ${name} [options] <queue>`)
    expect(output).toContain('--json')
  })
})

describe('dead and redrive', () => {
  it('tell first, and run only with --yes', async () => {
    const ids = [await enqueue(), await enqueue()]
    for (const id of ids) await inState(id, 'failed')
    const { groups } = await line.json<DeadSummary>('dead', 'quarantine')
    const group = groups.find(({ title }) => title.includes('not JSON'))
    expect(group?.count).toBeGreaterThanOrEqual(2)
    const listed = await cli('dead', 'quarantine')
    expect(listed.output).toMatch(/^GROUP +JOBS +FIRST SEEN +LAST SEEN +SAMPLE +CAUSE\n/)
    expect(listed.output).toContain(group?.group)

    const plan = await cli('redrive', 'quarantine', '--group', group?.group ?? '', '--text', 'E1')
    expect(plan.code).toBe(0)
    expect(plan.output).toMatch(/\n\d+ would run again, in about \d+ s; do it with --yes\n$/)
    expect((await line.json<JobSummary[]>('jobs', 'quarantine', '--state', 'failed')).length).toBeGreaterThanOrEqual(2)
    expect((await cli('redrive', 'quarantine', '--text', 'no such thing')).output).toMatch(
      /^none of \d+ dead letters fits\n$/,
    )

    const before = (await job(ids[0] ?? '')).finishedAt
    const done = await cli('redrive', 'quarantine', ...ids, '--yes')
    expect(done).toEqual({ code: 0, output: '2 run again\n' })
    await until(async () => {
      const now = await job(ids[0] ?? '')
      return now.state === 'failed' && now.finishedAt !== before
    }, 'it has run, and died, again')
    expect(await line.json('redrive', 'quarantine', ...ids, '--rate', '100/s', '--yes')).toMatchObject({
      state: 'done',
      matched: 2,
      done: 2,
      skipped: 0,
    })
  })
})
