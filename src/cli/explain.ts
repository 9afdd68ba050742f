import { type Command, InvalidArgumentError } from 'commander'
import { formatDuration, parseDuration } from '../define/duration.ts'
import type { AnyQueue } from '../define/queue.ts'
import { MillraceError } from '../errors.ts'
import type { BullQueue } from '../jobs/bull.ts'
import type { Desk } from '../jobs/desk.ts'
import { explainJob } from '../jobs/explain.ts'
import { busyKeys } from '../jobs/gate/view.ts'
import { whoami } from './actions.ts'
import { json, whole } from './options.ts'
import { print, table } from './print.ts'
import { withTools } from './with-tools.ts'

const mostKeys = 100

/** Why a job waits. */
export function addExplain(program: Command): void {
  program
    .command('explain')
    .description('why a job is where it is, and what to do')
    .argument('<queue>', 'queue name')
    .argument('<id>', 'job id')
    .addOption(json())
    .action((name: string, id: string, options: { json?: true }) =>
      withQueue(name, async ({ bull }) => {
        const found = await explainJob(bull, id)
        if (options.json) return print(found)
        console.log(`${found.code} (${found.state})\n${found.words}\nTo do: ${found.todo}`)
      }),
    )
}

/** Limits, shares of tenants and keys that are stuck, changed while the queue runs. */
export function addQueueSettings(program: Command): void {
  program
    .command('limit')
    .description('change how fast jobs of a queue may start, from now on, in all processes')
    .argument('<queue>', 'queue name')
    .option('--max <n>', 'starts within --per', whole)
    .option('--per <duration>', "such as '1s' or '10m'", durationOption)
    .option('--reset', 'what the queue file says holds again')
    .addOption(json())
    .action((name: string, options: { max?: number; per?: number; reset?: true; json?: true }) =>
      withQueue(name, async ({ queue, desk }) => {
        const { max, per } = options
        if (options.reset) await desk.limit(queue, undefined, whoami())
        else if (max === undefined || per === undefined)
          throw new MillraceError('bad-request', 'give --max and --per, or --reset')
        else await desk.limit(queue, { max, perMs: per }, whoami())
        const what = options.reset
          ? 'what the queue file says holds again'
          : `at most ${max} start within ${formatDuration(per ?? 0)}${queue.limit?.by ? ', for each key' : ''}`
        if (options.json) print({ queue: name, ...(options.reset ? { reset: true } : { max, perMs: per }) })
        else console.log(`${name}: ${what}`)
      }),
    )

  program
    .command('tenant')
    .description('change what holds for one tenant of a queue, from now on, in all processes')
    .argument('<queue>', 'queue name')
    .argument('<tenant>', 'whose')
    .option('--weight <n>', 'share of the turns', Number, 1)
    .option('--concurrency <n>', 'jobs in hand at once; default: no bound', whole)
    .option('--max <n>', 'starts within --per; default: no bound', whole)
    .option('--per <duration>', "such as '1s' or '10m'", durationOption)
    .option('--reset', 'what the queue file says holds again')
    .addOption(json())
    .action(
      (
        name: string,
        tenant: string,
        options: { weight: number; concurrency?: number; max?: number; per?: number; reset?: true; json?: true },
      ) =>
        withQueue(name, async ({ queue, desk }) => {
          const { weight, concurrency, max, per } = options
          if (!(weight >= 0.01 && weight <= 100))
            throw new MillraceError('bad-request', '--weight is a number from 0.01 to 100')
          if ((max === undefined) !== (per === undefined))
            throw new MillraceError('bad-request', '--max and --per go together')
          const rate = max === undefined || per === undefined ? undefined : { max, perMs: per }
          const terms = options.reset ? undefined : { weight, concurrency, rate }
          await desk.tenant(queue, tenant, terms, whoami())
          if (options.json) print({ queue: name, tenant, terms: terms ?? null })
          else
            console.log(`${name}, ${tenant}: ${terms ? JSON.stringify(terms) : 'what the queue file says holds again'}`)
        }),
    )

  program
    .command('keys')
    .description('keys of an ordered queue whose jobs wait for one before them')
    .argument('<queue>', 'queue name')
    .option('--free <key>', 'let the jobs of this key go on without the one that they wait for')
    .option('--tenant <tenant>', 'whose key, with --free', '')
    .addOption(json())
    .action((name: string, options: { free?: string; tenant: string; json?: true }) =>
      withQueue(name, async ({ bull, desk }) => {
        if (options.free !== undefined) {
          const job = await desk.freeKey(name, { tenant: options.tenant, key: options.free }, whoami())
          if (options.json) print({ key: options.free, tenant: options.tenant, job })
          else console.log(`the jobs of ${JSON.stringify(options.free)} go on without ${job}`)
          return
        }
        const keys = await busyKeys(bull, mostKeys)
        if (options.json) return print(keys)
        if (keys.length === 0) return console.log('no key is busy')
        table([
          ['KEY', 'TENANT', 'WAITING', 'FOR JOB', 'WHICH IS'],
          ...keys.map(({ key, tenant, waiting, job, state }) => [key, tenant, waiting, job, state]),
        ])
      }),
    )
}

function durationOption(text: string): number {
  const ms = parseDuration(text)
  if (ms === undefined || ms < 1) throw new InvalidArgumentError("It must be a duration such as '1s' or '10m'.")
  return ms
}

type At = { readonly bull: BullQueue; readonly queue: AnyQueue; readonly desk: Desk }

function withQueue(name: string, use: (at: At) => Promise<void>): Promise<void> {
  return withTools(async ({ definitions, tools }) => {
    const bull = tools.bull.get(name)
    const queue = definitions.queues.find((candidate) => candidate.name === name)
    if (!bull || !queue)
      throw new MillraceError(
        'unknown-queue',
        `there is no queue '${name}'; there are ${[...tools.bull.keys()].join(', ')}`,
      )
    await use({ bull, queue, desk: tools.desk })
  })
}
