import { type Command, Option } from 'commander'
import { countFlush, type FlushWhat, flush } from '../cache/flush.ts'
import { loadConfig } from '../config.ts'
import type { Duration } from '../define/duration.ts'
import type { WarmReport } from '../define/services.ts'
import { MillraceError } from '../errors.ts'
import { withCache } from '../tools/cache.ts'
import { duration, json, named, whole } from './options.ts'
import { counted, print, table } from './print.ts'
import { progress } from './progress.ts'
import { withTools } from './with-tools.ts'

type FlushOptions = FlushWhat & { yes?: true; json?: true }
type WarmOptions = {
  tenant?: string
  name?: string[]
  top: number
  rate: number
  timeout: Duration
  json?: true
}

export function addCache(program: Command): void {
  program
    .command('flush')
    .description('take entries out of the cache, here and in every process; without --yes it only counts them')
    .option('--tenant <tenant>', 'only of this tenant; default: all', named)
    .option(
      '--pattern <pattern>',
      "only names that fit: * is any text, everything else itself, such as 'notion__*'",
      named,
    )
    .addOption(new Option('--tag <tag>', 'only what was stored under this tag').argParser(named).conflicts('pattern'))
    .option('--yes', 'do it')
    .addOption(json())
    .action((options: FlushOptions) =>
      withCache(loadConfig(), async (cache) => {
        const counts = await countFlush(cache, options)
        const entries = counts.reduce((sum, count) => sum + count.entries, 0)
        if (!options.yes) {
          if (options.json) return print({ dryRun: true, entries, tenants: counts })
          table([['TENANT', 'ENTRIES'], ...counts.map(({ room, entries }) => [room, entries])])
          return console.log(`${counted(entries, 'entry', 'entries')} would go; do it with --yes`)
        }
        const bar = progress(Math.max(1, entries))
        const flushed = await flush(cache, options, bar.advance).finally(bar.end)
        if (options.json) print({ dryRun: false, flushed, tenants: counts })
        else console.log(`${counted(flushed, 'entry', 'entries')} ${flushed === 1 ? 'is' : 'are'} gone`)
      }),
    )

  program
    .command('warm')
    .description('compute again what was asked for most in the last day, in a process that works on cache-warm')
    .option('--tenant <tenant>', 'only for this tenant; default: each that used the cache in the last day', named)
    .option('--name <names...>', 'only these warmers and cached functions; default: all')
    .option('--top <n>', 'keys of each tenant, up to 1000', whole, 100)
    .option('--rate <n>', 'computations a second, up to 1000', whole, 20)
    .option('--timeout <duration>', 'how long to wait for the report', duration, '10m')
    .addOption(json())
    .action(({ tenant, name: names, top, rate: perSecond, timeout, json }: WarmOptions) =>
      withTools(async ({ definitions, tools }) => {
        const queue = definitions.queues.find(({ name }) => name === 'cache-warm')
        if (!queue) throw new MillraceError('unknown-queue', "there is no queue 'cache-warm'")
        const { id } = await tools.enqueue(queue, { tenant, names, top, perSecond })
        const report = (await tools.waitFor(queue, id, timeout)) as WarmReport
        if (json) print(report)
        else tell(report)
        if (report.failed > 0) process.exitCode = 1
      }),
    )
}

function tell({ tenants, warmed, fresh, busy, unknown, failed, errors, tookMs }: WarmReport): void {
  console.log(
    `${counted(warmed, 'entry', 'entries')} of ${counted(tenants, 'tenant')} warmed in ${(tookMs / 1_000).toFixed(1)} s`,
  )
  if (fresh > 0) console.log(`${fresh} were fresh`)
  if (busy > 0) console.log(`${busy} were being computed by somebody else`)
  if (unknown > 0)
    console.log(`${unknown} cannot be computed here: there is no warmer for them (docs/cache.md#warming)`)
  if (failed > 0) console.error(`${failed} failed:\n${errors.map((error) => `  ${error}`).join('\n')}`)
}
