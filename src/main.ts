import { parseArgs } from 'node:util'
import { misspelt } from './app/workers.ts'
import { type App, startApp } from './app.ts'
import { ConfigError, describeStore, loadConfig } from './config.ts'
import { MillraceError, messageOf } from './errors.ts'
import { loadDefinitions } from './load.ts'
import { createLogger } from './observe/log.ts'
import { makeDataDir } from './ops/first-start.ts'

/*
 * config → definitions → app.start → signals → app.stop(deadline).
 * Exit codes: 0 stopped as asked, 1 failed, 2 wrong command line, 78 wrong settings or definitions (EX_CONFIG).
 */

const usage = `Usage: npm start -- [--roles http,worker,scheduler] [--workers queue,queue]

  --roles    what this process does; default: all three
  --workers  queues this process works on; default: all
  --help     this text

Settings are environment variables: docs/settings.md. Tools: npm run cli -- --help`

/** After the grace the process ends in any case: whatever is still running has been given back or never finishes. */
const lastResortMs = 2_000
const slowMs = 1_000
const sameSignalMs = 1_000

async function main(): Promise<void> {
  const flags = readFlags()
  const config = loadConfig(undefined, flags)
  makeDataDir(config)
  const definitions = await loadDefinitions()
  const log = createLogger(config)
  for (const line of definitions.ignored) log.warn(line)
  for (const line of misspelt(config, definitions)) log.warn(line)

  let app: App | undefined
  let firstSignalAt = 0
  const onSignal = (signal: NodeJS.Signals) => {
    // A terminal sends Ctrl-C to everybody in it, and npm hands it on: the same wish, twice within milliseconds.
    if (firstSignalAt > 0 && Date.now() - firstSignalAt < sameSignalMs) return
    const isSecond = firstSignalAt > 0
    firstSignalAt ||= Date.now()
    if (isSecond) return end(128 + (signal === 'SIGINT' ? 2 : 15), `${signal} again: ending at once`)
    const deadline = Date.now() + config.shutdownGraceMs
    log.info({ graceMs: config.shutdownGraceMs }, `${signal}: finishing what is in hand; a second one ends at once`)
    setTimeout(() => end(1, 'did not stop within SHUTDOWN_GRACE'), config.shutdownGraceMs + lastResortMs).unref()
    // Before the start is complete there is nothing to finish.
    if (!app) return end(0, 'stopped before the start was complete')
    app.stop(deadline).then(
      () => end(0),
      (error) => end(1, messageOf(error)),
    )
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  process.on('unhandledRejection', (error) => log.error({ err: error }, 'unhandled rejection'))

  const began = Date.now()
  // What takes a moment needs no line; what takes longer is said, or it would look stuck.
  const onProgress = (detail: string) => void (Date.now() - began > slowMs && log.info(detail))
  app = await startApp({ config, definitions, log, onProgress })
  const stores = config.queueStore === 'managed' ? `managed in ${config.dataDir}` : describeStore(config.queueStore)
  log.info(
    { roles: config.roles.join(), queues: definitions.queues.length, store: stores, durability: config.durability },
    'ready',
  )
  if (config.roles.includes('http')) announce(app)

  function end(code: number, why?: string): void {
    if (why) log[code === 0 ? 'info' : 'error'](why)
    else log.info('stopped')
    process.exit(code)
  }
}

/** For the person who started it: where to look, how to get in, what to try. Not a log line, so that it can be copied. */
function announce({ url, keys, sources }: App): void {
  const names = sources.value.map(({ name }) => name)
  const lines = ['', `  Dashboard     ${url}/dashboard`]
  if (names.includes('slack')) lines.push(`  Slack events  ${url}/hooks/slack`)
  const others = names.filter((name) => name !== 'slack')
  if (others.length > 0) lines.push(`  And           ${others.map((name) => `/hooks/${name}`).join(' ')}`)
  if (keys.made) lines.push(`  Admin key     ${keys.made}`, `                (shown this once; kept in ${keys.file})`)
  else if (keys.isOurs) lines.push(`  Admin key     in ${keys.file}`)
  if (sources.made)
    lines.push(
      '',
      `  No SLACK_SIGNING_SECRET is set: a local one was made in ${sources.file}, and others for the other providers.`,
      '  Slack itself needs yours.',
    )
  const first = sources.value[0]
  const example = {
    slack: 'app_mention',
    github: 'push',
    stripe: 'invoice.paid',
    standard: 'contact.created',
    hmac: 'order.paid',
  }
  const to = first && first.name !== first.type ? ` --source ${first.name}` : ''
  if (first) lines.push('', `  Try it        npm run cli -- send ${first.type} ${example[first.type]}${to}`)
  lines.push('')
  process.stderr.write(`${lines.join('\n')}\n`)
}

function readFlags(): { roles?: string | undefined; workers?: string | undefined } {
  try {
    const { values } = parseArgs({
      options: { roles: { type: 'string' }, workers: { type: 'string' }, help: { type: 'boolean' } },
    })
    if (values.help) {
      console.log(usage)
      process.exit(0)
    }
    return values
  } catch (error) {
    console.error(`${messageOf(error)}\n\n${usage}`)
    process.exit(2)
  }
}

/** One line for each mistake, and what to do; a stack only for what is not of our table. */
function refuse(error: unknown): never {
  if (error instanceof ConfigError) {
    for (const line of error.lines) console.error(line)
    process.exit(78)
  }
  if (error instanceof MillraceError) {
    const lines = error.message.split('\n')
    for (const [i, line] of lines.entries())
      console.error(i === lines.length - 1 && !line.includes(error.todo) ? `${line}. ${error.todo}` : line)
    process.exit(['invalid-setting', 'invalid-definition'].includes(error.code) ? 78 : 1)
  }
  console.error(error)
  process.exit(1)
}

await main().catch(refuse)
