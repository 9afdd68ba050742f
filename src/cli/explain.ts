import { type Command, InvalidArgumentError } from 'commander'
import { parseDuration } from '../define/duration.ts'
import { mostStarts, type RatePolicy } from '../define/queue/rate.ts'
import type { TenantTerms } from '../define/queue/tenant.ts'
import type { AnyQueue } from '../define/queue.ts'
import { MillraceError } from '../errors.ts'
import type { BullQueue } from '../jobs/bull.ts'
import { type Desk, withoutTurns } from '../jobs/desk.ts'
import { explainJob } from '../jobs/explain.ts'
import { readTerms } from '../jobs/gate/settings.ts'
import { busyKeys } from '../jobs/gate/view.ts'
import { summarizeQueue } from '../jobs/inspect.ts'
import { limitWords, rateWords } from '../jobs/notes.ts'
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
    .description('how fast jobs of a queue may start; with --max and --per it is changed, at once, in all processes')
    .argument('<queue>', 'queue name')
    .option('--max <n>', 'starts within --per', whole)
    .option('--per <duration>', 'such as 1s or 10m', durationOption)
    .option('--reset', 'what the queue file says holds again')
    .addOption(json())
    .action((name: string, options: { max?: number; per?: number; reset?: true; json?: true }, command: Command) => {
      const rate = rateOf(options, command)
      return withQueue(name, async ({ bull, queue, desk }) => {
        if (options.reset || rate) await desk.limit(queue, options.reset ? undefined : rate, whoami())
        const { limits } = await summarizeQueue(bull)
        if (options.json)
          return print({ queue: name, limit: limits.rate, isByKey: limits.isByKey, isSet: limits.isSet })
        const origin = limits.isSet ? 'set at run time' : 'as the queue file says'
        console.log(`${name}: ${limitWords(limits) ?? 'no limit'}; ${origin}`)
      })
    })

  program
    .command('tenant')
    .description('what was set for one tenant of a queue; with options it is set, at once, in all processes')
    .argument('<queue>', 'queue name')
    .argument('<tenant>', 'whose')
    .option('--weight <n>', 'share of the turns; default: 1', weightOption)
    .option('--concurrency <n>', 'jobs in hand at once; default: no bound', whole)
    .option('--max <n>', 'starts within --per; default: no bound', whole)
    .option('--per <duration>', 'such as 1s or 10m', durationOption)
    .option('--reset', 'what the queue file says holds again')
    .addOption(json())
    .addHelpText(
      'after',
      '\nWhat is given takes the place of all that the queue file says of this tenant: what is left out is not bounded.',
    )
    .action(
      (
        name: string,
        tenant: string,
        options: { weight?: number; concurrency?: number; max?: number; per?: number; reset?: true; json?: true },
        command: Command,
      ) => {
        const rate = rateOf(options, command)
        return withQueue(name, async ({ bull, queue, desk }) => {
          const { weight, concurrency } = options
          if (!queue.tenant) throw withoutTurns(queue)
          if (options.reset) await desk.tenant(queue, tenant, undefined, whoami())
          else if (weight !== undefined || concurrency !== undefined || rate)
            await desk.tenant(queue, tenant, { weight: weight ?? 1, concurrency, rate }, whoami())
          const own = await readTerms(bull, tenant)
          const terms = own ?? queue.tenant.termsOf(tenant)
          if (options.json) return print({ queue: name, tenant, terms, isSet: own !== undefined })
          const origin = own ? 'set at run time' : 'as the queue file says'
          console.log(`${name}, ${tenant}: ${termsWords(terms)}; ${origin}`)
        })
      },
    )

  program
    .command('keys')
    .description('keys of an ordered queue whose jobs wait for one before them')
    .argument('<queue>', 'queue name')
    .option('--free <key>', 'let the jobs of this key go on without the one that they wait for')
    .option('--tenant <tenant>', 'whose key, with --free', '')
    .addOption(json())
    .action((name: string, options: { free?: string; tenant: string; json?: true }) =>
      withQueue(name, async ({ bull, queue, desk }) => {
        if (options.free !== undefined) {
          const job = await desk.freeKey(name, { tenant: options.tenant, key: options.free }, whoami())
          if (options.json) print({ key: options.free, tenant: options.tenant, job })
          else console.log(`the jobs of ${JSON.stringify(options.free)} go on without ${job}`)
          return
        }
        const keys = await busyKeys(bull, mostKeys)
        if (options.json) return print(keys)
        if (keys.length === 0)
          return console.log(queue.order ? 'no key is busy' : `'${name}' has no order by key: its file says no order`)
        table([
          ['KEY', 'TENANT', 'WAITING', 'FOR JOB', 'WHICH IS'],
          ...keys.map(({ key, tenant, waiting, job, state }) => [key, tenant, waiting, job, state]),
        ])
      }),
    )
}

/** Both or none, and nothing beside --reset: a wrong command line ends with 2. */
function rateOf(
  { max, per, reset }: { max?: number; per?: number; reset?: true },
  command: Command,
): RatePolicy | undefined {
  if ((max === undefined) !== (per === undefined)) command.error('error: --max and --per go together')
  if (reset && max !== undefined) command.error('error: give --max and --per, or --reset')
  if (max !== undefined && max > mostStarts) command.error(`error: --max is at most ${mostStarts}; use a shorter --per`)
  return max === undefined || per === undefined ? undefined : { max, perMs: per }
}

function termsWords({ weight, concurrency, rate }: TenantTerms): string {
  const inHand = concurrency === undefined ? 'any number in hand' : `at most ${concurrency} in hand`
  return `weight ${weight}, ${inHand}, ${rate ? rateWords(rate) : 'any number of starts'}`
}

function weightOption(text: string): number {
  const weight = Number(text)
  if (!(weight >= 0.01 && weight <= 100)) throw new InvalidArgumentError('It must be a number from 0.01 to 100.')
  return weight
}

function durationOption(text: string): number {
  const ms = parseDuration(text)
  if (ms === undefined || ms < 1) throw new InvalidArgumentError('It must be a duration such as 1s or 10m.')
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
