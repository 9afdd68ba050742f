import { type Command, InvalidArgumentError, Option } from 'commander'
import type { DeadFilter } from '../jobs/dead.ts'
import type { DeadGroup } from '../jobs/groups.ts'
import type { RedrivePreview, RedriveProgress } from '../jobs/redrive.ts'
import { defaultRate, mostPerSecond, parseRate } from '../policy/rate.ts'
import type { Tools } from '../tools.ts'
import { whoami } from './actions.ts'
import { json, moment } from './options.ts'
import { print, table } from './print.ts'
import { progress } from './progress.ts'
import { withTools } from './with-tools.ts'

type Options = Pick<DeadFilter, 'text' | 'name' | 'tenant' | 'since' | 'until'> & {
  readonly group?: string
  readonly rate: number
  readonly yes?: true
  readonly json?: true
}

/** How often a run is asked how far it is. */
const askMs = 200

export function addDead(program: Command): void {
  program
    .command('dead')
    .description("a queue's dead letters by cause: how many, since when, and whether a cause came back")
    .argument('<queue>', 'queue name')
    .option('--tenant <tenant>', 'only those of one tenant')
    .addOption(json())
    .action((queue: string, options: { tenant?: string; json?: true }) =>
      withTools(async ({ tools }) => {
        const summary = await tools.desk.dead(queue, options.tenant)
        if (options.json) return print(summary)
        const { dead, looked, groups } = summary
        if (groups.length === 0) return console.log(options.tenant ? 'no job of this tenant is dead' : 'no job is dead')
        table([['GROUP', 'JOBS', 'FIRST SEEN', 'LAST SEEN', 'SAMPLE', 'CAUSE'], ...groups.map(row)])
        if (dead !== null && looked < dead) console.log(`counted among the newest ${looked} of ${dead}`)
      }),
    )
}

function row({ group, count, firstSeen, lastSeen, sample, title, regression }: DeadGroup): (string | number)[] {
  const back = regression ? `  (came back ${regression.at}, ${regression.after})` : ''
  return [group, count, firstSeen, lastSeen, sample, `${title.slice(0, 80)}${back}`]
}

export function addRedrive(program: Command): void {
  program
    .command('redrive')
    .description('run dead letters again, with all of their attempts; without --yes only tells which')
    .argument('<queue>', 'queue name')
    .argument('[ids...]', 'only these jobs')
    .option('--group <group>', 'only those of one cause; `dead` lists them')
    .option('--text <text>', 'only jobs whose id, payload or reason holds it')
    .option('--name <name>', 'only jobs of this name')
    .option('--tenant <tenant>', 'only those of one tenant')
    .option('--since <time>', 'that died since: 30m, or 2026-01-31T12:00Z', moment)
    .option('--until <time>', 'that died until then', moment)
    .addOption(
      new Option('--rate <rate>', 'such as 50/s or 10/m').argParser(rate).default(defaultRate, `${defaultRate}/s`),
    )
    .option('--yes', 'do it')
    .addOption(json())
    .addHelpText(
      'after',
      '\nWhat --yes runs is settled before the first job runs. A job that is not dead any more by its turn is skipped.\nCtrl-C stops it; the jobs that are left stay dead.',
    )
    .action((queue: string, ids: string[], options: Options) =>
      withTools(async ({ tools }) => {
        const { rate: ratePerSecond, yes, json: asJson, ...filter } = options
        const owner = { name: whoami(), key: whoami() }
        const wanted = ids.length > 0 ? { ...filter, ids } : filter
        const preview = await tools.desk.preview(queue, wanted, { owner, ratePerSecond })
        if (!yes) return tellPreview(preview, asJson)
        const done = await run(tools, preview, owner)
        if (asJson) print(done)
        else console.log(summarize(done))
        if (done.state !== 'done') process.exitCode = 1
      }),
    )
}

async function run(
  tools: Tools,
  { token, matched }: RedrivePreview,
  owner: { name: string; key: string },
): Promise<RedriveProgress> {
  const bar = progress(matched)
  let isStopped = false
  const stop = () => {
    isStopped = true
  }
  process.once('SIGINT', stop)
  try {
    let now = await tools.desk.redrive(token, owner)
    while (now.state === 'running') {
      // A server may have been faster, and then it works on it.
      void tools.runRedrive(token)
      await new Promise((resolve) => setTimeout(resolve, askMs))
      now = await (isStopped ? tools.desk.stopRedrive(token, owner) : tools.desk.progress(token, owner))
      bar.advance(now.matched - now.left)
    }
    return now
  } finally {
    bar.end()
    process.off('SIGINT', stop)
  }
}

function tellPreview(preview: RedrivePreview, asJson: true | undefined): void {
  const { matched, looked, groups, ratePerSecond } = preview
  if (asJson) {
    print(preview)
    return
  }
  if (matched === 0) {
    console.log(`none of ${looked} dead letters fits`)
    return
  }
  table([['GROUP', 'JOBS', 'CAUSE'], ...groups.map(({ group, count, title }) => [group, count, title.slice(0, 100)])])
  const seconds = Math.ceil(matched / ratePerSecond)
  console.log(`${matched} would run again, in about ${seconds} s; do it with --yes`)
}

function summarize({ done, skipped, left, state }: RedriveProgress): string {
  const parts = [`${done} run again`]
  if (skipped > 0) parts.push(`${skipped} were not dead any more`)
  if (left > 0) parts.push(`${left} stay dead`)
  return `${parts.join(', ')}${state === 'stopped' ? ': stopped' : ''}`
}

function rate(text: string): number {
  const perSecond = parseRate(text)
  if (perSecond === undefined || perSecond > mostPerSecond)
    throw new InvalidArgumentError(`It must be a rate such as 50/s or 10/m, at most ${mostPerSecond}/s.`)
  return perSecond
}
