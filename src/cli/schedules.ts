import type { Command } from 'commander'
import { formatDuration } from '../define/duration.ts'
import { MillraceError } from '../errors.ts'
import { listSchedules } from '../jobs/schedules.ts'
import { json } from './options.ts'
import { print, table } from './print.ts'
import { withTools } from './with-tools.ts'

export function addSchedules(program: Command): void {
  program
    .command('schedules')
    .description('jobs that come by themselves: when the next run is due, and when the last one was')
    .argument('[queue]', 'queue name; default: all of them')
    .addOption(json())
    .action((name: string | undefined, options: { json?: true }) =>
      withTools(async ({ tools }) => {
        if (name !== undefined && !tools.bull.has(name))
          throw new MillraceError(
            'unknown-queue',
            `there is no queue '${name}'; there are ${[...tools.bull.keys()].join(', ')}`,
          )
        const queues = [...tools.bull.values()].filter((queue) => name === undefined || queue.name === name)
        const listed = await Promise.all(
          queues.map(async (queue) =>
            (await listSchedules(queue)).map((schedule) => ({ queue: queue.name, ...schedule })),
          ),
        )
        const schedules = listed.flat()
        if (options.json) return print(schedules)
        if (schedules.length === 0) return console.log('no schedules')
        table([
          ['QUEUE', 'ID', 'WHEN', 'TZ', 'NEXT', 'LAST'],
          ...schedules.map(({ queue, id, cron, every = 0, tz, next, last }) => [
            queue,
            id,
            cron ?? `every ${formatDuration(every)}`,
            cron === undefined ? '-' : tz,
            next ?? '-',
            last ?? '-',
          ]),
        ])
      }),
    )
}
