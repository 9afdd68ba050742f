#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { Command, CommanderError, Option } from 'commander'
import { misspelt } from './app/workers.ts'
import { addActions } from './cli/actions.ts'
import { addCache } from './cli/cache.ts'
import { addExplain, addQueueSettings } from './cli/explain.ts'
import { addInbox, addReplay } from './cli/inbox.ts'
import { duration, json, whole } from './cli/options.ts'
import { print, table } from './cli/print.ts'
import { addDead, addRedrive } from './cli/redrive.ts'
import { addSchedules } from './cli/schedules.ts'
import { addSend } from './cli/send.ts'
import { addSessions } from './cli/sessions.ts'
import { withTools } from './cli/with-tools.ts'
import { ConfigError, loadConfig } from './config.ts'
import { formatDuration } from './define/duration.ts'
import type { EnqueueOptions } from './define/worker.ts'
import { MillraceError, messageOf } from './errors.ts'
import { describeJob, type JobState, jobStates, listJobs, summarizeQueue } from './jobs/inspect.ts'
import { boundsOf, warningsOf } from './jobs/notes.ts'
import { loadDefinitions } from './load.ts'
import { doctor } from './ops/doctor.ts'
import { rememberedUrl } from './ops/first-start.ts'
import { Stores } from './redis/stores.ts'

/*
 * Tools for people. Each command: settings → open → call → print → close. Exit 0 done, 1 failed, 2 wrong command line.
 */

const program = new Command('millrace')
  .description('Looks at queues, sends events, finds faults. Reads the same settings as npm start (docs/settings.md).')
  .exitOverride()
  .showHelpAfterError('(run it with --help)')

addSend(program)
addInbox(program)
addReplay(program)
addActions(program)
addDead(program)
addRedrive(program)
addExplain(program)
addQueueSettings(program)
addCache(program)
addSessions(program)

program
  .command('enqueue')
  .description('store a job')
  .argument('<queue>', 'queue name')
  .argument('<payload>', 'JSON, or - to read it from standard input')
  .option('--dedupe-key <key>', 'jobs with the same key are one job for a day')
  .option('--name <name>', "shown as the job's name; default: the queue's")
  .option('--tenant <tenant>', 'whose job it is')
  .option('--delay <duration>', 'not before this much time has passed: 30s, 10m, 1d', duration)
  .option('--expires <duration>', 'buried if it was not started within this much time', duration)
  .addOption(json())
  .action(async (name: string, text: string, options: EnqueueOptions & { json?: true }) => {
    const payload = parseJson(text === '-' ? readFileSync(0, 'utf8') : text)
    await withTools(async ({ definitions, tools }) => {
      const queue = definitions.queues.find((candidate) => candidate.name === name)
      if (!queue) throw unknownQueue(name, tools.bull.keys())
      const { json: _json, ...more } = options
      const { id, duplicate } = await tools.enqueue(queue, payload, more)
      if (options.json) print({ id, duplicate })
      else console.log(duplicate ? `${id} was there already` : `${id} is stored`)
    })
  })

program
  .command('queues')
  .description('counts of every queue, and what holds its jobs back')
  .addOption(json())
  .action((options: { json?: true }) =>
    withTools(async ({ tools }) => {
      const queues = await Promise.all([...tools.bull.values()].map(summarizeQueue))
      if (options.json) return print(queues)
      table([
        ['QUEUE', 'WAITING', 'ACTIVE', 'DELAYED', 'COMPLETED', 'DEAD', 'OLDEST', 'NOTES'],
        ...queues.map((queue) => [
          queue.name,
          queue.counts.waiting,
          queue.counts.active,
          queue.counts.delayed,
          queue.counts.completed,
          queue.counts.failed,
          queue.oldestWaitingSeconds > 0 ? formatDuration(queue.oldestWaitingSeconds * 1_000) : '-',
          [...warningsOf(queue), ...boundsOf(queue)].join(', '),
        ]),
      ])
    }),
  )

addSchedules(program)

program
  .command('jobs')
  .description("a queue's jobs, or one of them whole")
  .argument('<queue>', 'queue name')
  .argument('[id]', 'job id')
  .addOption(new Option('--state <state>', 'which ones; default: every state').choices([...jobStates, 'dead']))
  .option('--limit <n>', 'how many of a state', whole, 20)
  .option('--tenant <tenant>', 'only jobs of this tenant')
  .option('--name <name>', 'only jobs of this name')
  .option('--text <text>', 'only jobs whose id, payload or reason holds it')
  .addOption(json())
  .action(
    (
      name: string,
      id: string | undefined,
      {
        state,
        json,
        ...options
      }: {
        state?: JobState | 'dead'
        limit: number
        tenant?: string
        name?: string
        text?: string
        json?: true
      },
    ) =>
      withTools(async ({ tools }) => {
        const queue = tools.bull.get(name)
        if (!queue) throw unknownQueue(name, tools.bull.keys())
        if (id !== undefined) return print(await describeJob(queue, id))
        const states = state === undefined ? jobStates : [state === 'dead' ? 'failed' : state]
        const pages = await Promise.all(states.map((state) => listJobs(queue, { ...options, state })))
        const jobs = pages.flatMap((page) => page.jobs)
        if (json) return print(jobs)
        if (jobs.length === 0) return console.log('no such jobs')
        table([
          ['ID', 'NAME', 'STATE', 'ATTEMPTS', 'ENQUEUED', 'REASON'],
          ...jobs.map((job) => [
            job.id,
            job.name,
            job.state === 'failed' ? 'dead' : job.state,
            `${job.attemptsMade}/${job.attempts}`,
            job.enqueuedAt,
            (job.reason ?? '').slice(0, 80),
          ]),
        ])
      }),
  )

program
  .command('doctor')
  .description('check settings, definitions, stores and the running server')
  .addOption(json())
  .action(async (options: { json?: true }) => {
    const config = loadConfig()
    const definitions = await loadDefinitions()
    const stores = new Stores(config)
    await stores.start()
    try {
      const checks = await doctor(config, {
        addressOf: (role) => stores.address(role),
        url: rememberedUrl(config),
        oldestNode: [20, 19],
        misspelt: misspelt(config, definitions),
      })
      if (options.json) print(checks)
      else
        for (const { name, state, detail } of checks)
          console.log(`${{ ok: '✓', warn: '!', fail: '✗' }[state]} ${name.padEnd(14)} ${detail}`)
      if (checks.some((check) => check.state === 'fail')) process.exitCode = 1
    } finally {
      await stores.stop()
    }
  })

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new MillraceError('not-json', `the payload is not JSON: ${messageOf(error)}`)
  }
}

function unknownQueue(name: string, known: Iterable<string>): MillraceError {
  return new MillraceError('unknown-queue', `there is no queue '${name}'; there are ${[...known].join(', ')}`)
}

try {
  await program.parseAsync()
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2
  else {
    const lines = error instanceof ConfigError ? error.lines : [messageOf(error)]
    // What the table says to do is meant for HTTP clients, except where it is about the store.
    const todo = error instanceof MillraceError && error.code.startsWith('store-') ? `. ${error.todo}` : ''
    console.error(lines.join('\n') + todo)
    process.exitCode = 1
  }
}
