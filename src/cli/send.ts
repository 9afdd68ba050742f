import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { loadConfig } from '../config.ts'
import { MillraceError, messageOf } from '../errors.ts'
import { rememberedUrl, sourcesOf } from '../ops/first-start.ts'
import { type SampleProvider, sampleMaker, sampleProviders, samples, takesAnyType } from '../ops/samples.ts'
import { type Outgoing, outcomeOf, type Sent, send } from '../ops/send.ts'
import { json, whole } from './options.ts'
import { print, table } from './print.ts'
import { progress } from './progress.ts'
import { describeSent, summarize } from './sent.ts'
import { signerOf } from './signers.ts'

type Options = {
  readonly list?: true
  readonly source?: string
  readonly url?: string
  readonly count: number
  readonly rate?: number
  readonly concurrency: number
  readonly duplicate?: number
  readonly tamper?: true
  readonly file?: string
  readonly type?: string
  readonly contentType: string
  readonly json?: true
}

const help = `
Examples:
  send slack app_mention                          one event, stored when it says so
  send slack message --count 5000 --rate 500      a steady load
  send slack command --duplicate 3                four requests, one job
  send slack message --tamper                     exit 0 when the server refuses it
  send github --file push.json --type push        a request of your own

Samples have fresh ids each time. With --file the body goes out byte for byte, so an id inside it (Slack, Stripe) stays
the same: what is sent twice is a duplicate. Ids that the provider has in a header (GitHub, Standard Webhooks) are fresh.`

export function addSend(program: Command): void {
  program
    .command('send')
    .description('send signed events to a running server: samples, or a body of your own')
    .addArgument(program.createArgument('<provider>', 'whose event').choices(sampleProviders))
    .argument('[event]', 'which one (--list tells which there are)')
    .option('--list', "list the provider's events and send nothing")
    .option('--source <name>', "source that signs it; default: the provider's name")
    .option('--url <url>', 'server; default: the one started from this DATA_DIR')
    .option('--count <n>', 'how many different events', whole, 1)
    .option('--rate <n>', 'events per second, spread evenly; default: as fast as it goes', whole)
    .option('--concurrency <n>', 'requests under way at once', whole, 20)
    .option('--duplicate <n>', 'send each event n times more, with the same id', whole)
    .option('--tamper', 'break the signature, and see that the server refuses it')
    .option('--file <path>', 'body to send instead of a sample; - for standard input')
    .option('--type <type>', 'with --file: what happened, for providers that say so in a header')
    .option('--content-type <type>', "with --file: the body's", 'application/json')
    .addOption(json())
    .addHelpText('after', help)
    .action(async (provider: SampleProvider, event: string | undefined, options: Options, command: Command) => {
      if (options.list) return listEvents(provider, options.json)
      const make = makerOf(provider, event, options, command)
      if (options.url !== undefined && !/^https?:\/\//.test(options.url))
        return command.error('error: --url must be that of a server, such as http://localhost:3000', { exitCode: 2 })
      const config = loadConfig()
      const name = options.source ?? provider
      const sign = signerOf(provider, sourcesOf(config).value, name)
      const url = (options.url ?? rememberedUrl(config) ?? `http://${config.host}:${config.port}`).replace(/\/$/, '')
      const bar = progress(options.count * (1 + (options.duplicate ?? 0)))
      const began = performance.now()
      const sent = await send({
        url,
        source: name,
        make,
        count: options.count,
        rate: options.rate,
        concurrency: options.concurrency,
        repeats: options.duplicate,
        tamper: options.tamper ?? false,
        sign,
        onProgress: bar.advance,
      }).finally(bar.end)
      const seconds = (performance.now() - began) / 1_000
      if (options.json) print(sent)
      else if (sent.length > 1) console.log(summarize(sent, seconds))
      if (options.tamper) return tellTampered(sent, options.json)
      const failed = sent.find(({ status }) => status < 200 || status > 299)
      if (failed) throw new Error(failureOf(failed, url))
      const [first] = sent
      if (first && sent.length === 1 && !options.json)
        console.log(
          first.stored === null
            ? describeSent(first)
            : `${describeSent(first)}\nSee it: ${url}/dashboard/inbox/${encodeURIComponent(first.id)}`,
        )
    })
}

function listEvents(provider: SampleProvider, asJson: true | undefined): void {
  const rows = Object.entries(samples[provider]).map(([event, make]) => {
    const { type, contentType } = make(Date.now())
    return { event, type, contentType }
  })
  if (asJson) print(rows)
  else table([['EVENT', 'TYPE', 'CONTENT'], ...rows.map(({ event, type, contentType }) => [event, type, contentType])])
  if (takesAnyType(provider) && !asJson) console.log('and any other: types are the sender’s own')
}

function bodyOf(file: string): Buffer {
  try {
    return readFileSync(file === '-' ? 0 : file)
  } catch (error) {
    throw new MillraceError('bad-request', `--file ${file} cannot be read: ${messageOf(error)}`)
  }
}

/** The sample, or the file's bytes. What does not go together is a wrong command line. */
function makerOf(
  provider: SampleProvider,
  event: string | undefined,
  options: Options,
  command: Command,
): (now: number) => Outgoing {
  const wrong = (message: string) => command.error(`error: ${message}`, { exitCode: 2 })
  if (options.file !== undefined) {
    const type = options.type ?? event
    if (type === undefined && provider === 'github')
      return wrong('GitHub says in a header what happened: name it with --type, such as push')
    const body = bodyOf(options.file)
    return () => ({ id: fileId(provider), type: type ?? provider, contentType: options.contentType, body })
  }
  if (options.type !== undefined) return wrong('--type goes with --file')
  const choices = Object.keys(samples[provider]).join(', ')
  if (event === undefined) return wrong(`which event? Allowed choices are ${choices}`)
  return (
    sampleMaker(provider, event) ?? wrong(`there is no ${provider} event '${event}'. Allowed choices are ${choices}`)
  )
}

/** The id that goes into a header, where the provider has it there. */
function fileId(provider: SampleProvider): string {
  return provider === 'standard' ? `msg_${randomUUID().replaceAll('-', '')}` : randomUUID()
}

/** The promise is that nothing gets in without a right signature; only a 401 to each of them keeps it. */
function tellTampered(sent: readonly Sent[], asJson: true | undefined): void {
  const other = sent.find(({ status }) => status !== 401)
  if (!other) {
    if (!asJson) console.log(`refused with 401, as it should be${sent.length > 1 ? `, all ${sent.length}` : ''}`)
    return
  }
  const taken = sent.filter(({ status }) => status >= 200 && status < 300).length
  throw new Error(
    taken > 0
      ? `the server took ${taken} of ${sent.length} with a broken signature`
      : `neither taken nor refused with 401: ${outcomeOf(other)}. ${other.error}`,
  )
}

function failureOf({ status, error }: Sent, url: string): string {
  return status === 0 ? `${url} does not answer: ${error}. Is it running? npm start` : `${status}: ${error}`
}
