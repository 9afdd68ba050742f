import { userInfo } from 'node:os'
import type { Command } from 'commander'
import type { Acted, Paused } from '../jobs/actions.ts'
import { json } from './options.ts'
import { print } from './print.ts'
import { withTools } from './with-tools.ts'

/* One job, or one queue. */

/** Who acts, for the log and for whoever finds a queue paused. */
export function whoami(): string {
  try {
    return `cli:${userInfo().username}`
  } catch {
    return 'cli' // a uid without a name, as in some containers
  }
}

export function addActions(program: Command): void {
  program
    .command('retry')
    .description('run a job again: a dead one with all of its attempts, a delayed one at once')
    .argument('<queue>', 'queue name')
    .argument('<id>', 'job id')
    .option('--again', 'also when it is completed')
    .addOption(json())
    .action((queue: string, id: string, options: { again?: true; json?: true }) =>
      withTools(async ({ tools }) => {
        const actor = { name: whoami() }
        tell(await tools.desk.retry({ queue, id, actor, again: options.again ?? false }), options.json)
      }),
    )

  program
    .command('cancel')
    .description('send a job to the dead letters, from where it can be retried; one that is running is told to stop')
    .argument('<queue>', 'queue name')
    .argument('<id>', 'job id')
    .option('--reason <text>', 'why; kept with the job')
    .addOption(json())
    .action((queue: string, id: string, options: { reason?: string; json?: true }) =>
      withTools(async ({ tools }) => {
        const actor = { name: whoami() }
        tell(await tools.desk.cancel({ queue, id, actor, reason: options.reason }), options.json)
      }),
    )

  for (const name of ['pause', 'resume'] as const)
    program
      .command(name)
      .description(name === 'pause' ? 'let no worker take a job of the queue' : 'let workers take its jobs again')
      .argument('<queue>', 'queue name')
      .addOption(json())
      .action((queue: string, options: { json?: true }) =>
        withTools(async ({ tools }) => {
          const paused = await tools.desk[name](queue, whoami())
          if (options.json) print(paused)
          else console.log(describePaused(paused))
        }),
      )
}

function tell(acted: Acted, asJson: true | undefined): void {
  if (asJson) print(acted)
  else console.log(describe(acted))
}

function describe({ id, state, was }: Acted): string {
  if (state === was) return `${id} is ${state === 'failed' ? 'dead' : state} already`
  if (was === 'followed') return `${id} is dead when a worker comes to it, so that the job which waits for it runs`
  if (was === 'scheduled')
    return `${id} is the next run of a schedule; at its time it is cancelled, and the schedule goes on`
  if (state === 'cancelling') return `${id} is running; whoever has it is told to stop`
  return `${id} was ${was === 'failed' ? 'dead' : was}, and is ${state === 'failed' ? 'dead' : state} now`
}

function describePaused({ name, paused, pausedBy, pausedAt, waiting, active }: Paused): string {
  const by = pausedBy === null ? '' : ` by ${pausedBy}`
  const since = pausedAt === null ? '' : ` since ${pausedAt}`
  return `${name} is ${paused ? `paused${by}${since}` : 'running'}: ${waiting} waiting, ${active} active`
}
