import { type Command, InvalidArgumentError } from 'commander'
import { MillraceError, messageOf } from '../errors.ts'
import { isReplay, isReplayable, replay, replayMark } from '../ingest/replay.ts'
import { findEvents, type InboxEvent, type InboxFilter, outcomesOf } from '../jobs/inbox-find.ts'
import type { Tools } from '../tools.ts'
import { json, moment, whole } from './options.ts'
import { print, table } from './print.ts'
import { progress } from './progress.ts'
import { withTools } from './with-tools.ts'

type FilterOptions = {
  readonly source?: string
  readonly type?: string
  readonly tenant?: string
  readonly queue?: string
  readonly since?: number
  readonly until?: number
  readonly json?: true
}

/** So many at once under way: enough for the batches, few enough to stop soon when the store goes away. */
const atOnce = 64

export function addInbox(program: Command): void {
  withFilter(program.command('inbox').description('accepted events, with what became of each in its queues'))
    .argument('[event]', 'one of them whole, by its id')
    .option('--limit <n>', 'how many, newest first', whole, 20)
    .addOption(json())
    .action((event: string | undefined, options: FilterOptions & { limit: number }) =>
      withTools(async ({ tools }) => {
        const found: InboxEvent[] = []
        for await (const one of findEvents(tools.redis, tools.inboxKey, { ...filterOf(options), event })) {
          found.push(one)
          if (found.length === (event === undefined ? options.limit : 1)) break
        }
        const [first] = found
        if (event !== undefined && !first)
          throw new MillraceError('unknown-event', `there is no event '${event}' in the inbox`)
        const outcomes = await Promise.all(found.map((one) => outcomesOf(tools.bull, one)))
        if (event !== undefined && first) return print({ ...complete(first), outcomes: outcomes[0] })
        if (options.json) return print(found.map((one, i) => ({ ...small(one), outcomes: outcomes[i] })))
        if (found.length === 0) return console.log('no such events')
        table([
          ['EVENT', 'SOURCE', 'TYPE', 'TENANT', 'STORED', 'OUTCOME'],
          ...found.map((one, i) => [
            one.event,
            one.source,
            one.type,
            one.tenant ?? '-',
            one.storedAt,
            (outcomes[i] ?? []).map(({ queue, state }) => `${queue}: ${state}`).join(', '),
          ]),
        ])
      }),
    )
}

export function addReplay(program: Command): void {
  withFilter(
    program
      .command('replay')
      .description('put accepted events through routing again, as new jobs; without --yes only tells which'),
  )
    .argument('[events...]', 'ids; default: all that fit the options')
    .option('--yes', 'do it')
    .option('--rate <n>', 'events per second; default: as fast as it goes', whole)
    .option('--mark <name>', 'a name for this replay: the same events with the same name are replayed once', mark)
    .addOption(json())
    .addHelpText(
      'after',
      '\nEvents are replayed in the order in which they came. The dry run shows what --yes would take.',
    )
    .action((ids: string[], options: FilterOptions & { yes?: true; rate?: number; mark?: string }, command: Command) =>
      withTools(async ({ tools }) => {
        const filter = filterOf(options)
        if (ids.length === 0 && Object.values(filter).every((value) => value === undefined))
          return command.error('error: which events? Give ids, or a filter such as --since 1h', { exitCode: 2 })
        const chosen = await choose(tools, ids, filter)
        const able = chosen.filter(isReplayable)
        if (!options.yes) return tellPlan(chosen, options.json)
        const name = options.mark ?? replayMark(Date.now())
        const done = await replayAll(tools, able, name, options.rate)
        const [again, left] = [able.length - done.length, chosen.length - able.length]
        if (options.json) return print({ mark: name, replayed: done.map(small), repeated: again, skipped: left })
        const known = again > 0 ? `; ${again} were already, under the mark ${name}` : ''
        console.log(`${done.length} replayed${known}${skipped(left)}; mark: ${name}`)
      }),
    )
}

async function choose(tools: Tools, ids: readonly string[], filter: InboxFilter): Promise<InboxEvent[]> {
  const now = Date.now()
  const found: InboxEvent[] = []
  // What is stored from now on are the replays themselves.
  const until = Math.min(filter.until ?? now, now)
  const missing = new Set(ids)
  for await (const one of findEvents(tools.redis, tools.inboxKey, { ...filter, until })) {
    // A replay is replayed only by its own id, or each round would double them.
    if (ids.length > 0 ? !missing.delete(one.event) : isReplay(one)) continue
    found.push(one)
    if (ids.length > 0 && missing.size === 0) break
  }
  if (missing.size > 0)
    throw new MillraceError('unknown-event', `not in the inbox, or not fitting: ${[...missing].join(', ')}`)
  return found.reverse()
}

/** Those that were not replayed under this name before. */
async function replayAll(
  tools: Tools,
  events: readonly InboxEvent[],
  name: string,
  rate?: number,
): Promise<InboxEvent[]> {
  const fresh: InboxEvent[] = []
  const bar = progress(events.length)
  const began = performance.now()
  const size = rate === undefined ? atOnce : 1
  let done = 0
  try {
    for (let i = 0; i < events.length; i += size) {
      const early = rate === undefined ? 0 : began + (i * 1_000) / rate - performance.now()
      if (early > 0) await new Promise((resolve) => setTimeout(resolve, early))
      const batch = events.slice(i, i + size)
      const delivered = await Promise.all(batch.map((event) => replay(tools.deliver, event, name, Date.now())))
      fresh.push(...batch.filter((_, n) => delivered[n]?.duplicate === false))
      done += batch.length
      bar.advance(done)
    }
  } catch (error) {
    throw new Error(
      `${messageOf(error)}. ${done} of ${events.length} were replayed for sure; the same command with --mark ${name} goes on without repeating any`,
      { cause: error },
    )
  } finally {
    bar.end()
  }
  return fresh
}

function tellPlan(chosen: readonly InboxEvent[], asJson: true | undefined): void {
  const able = chosen.filter(isReplayable)
  if (asJson) {
    print({ dryRun: true, events: able.map(small), skipped: chosen.length - able.length })
    return
  }
  const counts = new Map<string, number>()
  for (const { source, type } of able) counts.set(`${source}:${type}`, (counts.get(`${source}:${type}`) ?? 0) + 1)
  table([['EVENTS', 'TYPE'], ...[...counts].map(([type, count]) => [count, type])])
  const [first, last] = [able[0], able.at(-1)]
  if (first && last) console.log(`from ${first.storedAt} to ${last.storedAt}`)
  console.log(`${able.length} would be replayed${skipped(chosen.length - able.length)}; do it with --yes`)
}

function skipped(count: number): string {
  return count > 0 ? `; ${count} cannot be: never understood, or too large for the inbox` : ''
}

function withFilter(command: Command): Command {
  return command
    .option('--source <name>', 'only of this source')
    .option('--type <type>', 'only of this type; message.* takes everything below it as well')
    .option('--tenant <tenant>', 'only of this tenant')
    .option('--queue <queue>', 'only what went to this queue')
    .option('--since <time>', 'stored since: 1h, 30m, or 2026-01-31T12:00Z', moment)
    .option('--until <time>', 'stored until', moment)
}

function filterOf({ source, type, tenant, queue, since, until }: FilterOptions): InboxFilter {
  return { source, type, tenant, queue, since, until }
}

function mark(text: string): string {
  if (!/^[\w-]{1,32}$/.test(text)) throw new InvalidArgumentError('It must be 1 to 32 letters, digits or dashes.')
  return text
}

function small({ data: _data, raw: _raw, ...event }: InboxEvent) {
  return event
}

function complete({ data, raw, ...event }: InboxEvent) {
  return {
    ...event,
    payload: data === null ? null : (JSON.parse(data) as unknown),
    raw: raw?.toString('base64') ?? null,
  }
}
