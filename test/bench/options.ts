import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

export const comparisonNames = [
  'assistant',
  'edge',
  'bare',
  'spool',
  'worker',
  'gate',
  'backlog',
  'held',
  'start',
  'codec',
  'live',
  'limits',
  'cache',
  'sessions',
] as const

export const usage = `Usage: npm run bench -- [options]

Compares Millrace with the plain alternative, in turns, in one run, at the same durability.

  --only NAMES         some of the comparisons, with commas: ${comparisonNames.join(',')}
  --rounds N           rounds of each comparison, after one that is thrown away; default 5
  --seconds N          length of each run of edge, bare, spool, start, live, assistant and sessions; default 4
  --connections N      connections to the edge; default 100
  --events N           jobs in each run of worker, gate, backlog and held, calls in limits; default 20000
  --concurrency N      of the workers; default 50
  --backlog N          jobs that wait behind those of backlog; default 1000000
  --listeners N        clients of live; default 5000
  --rate N             jobs a second in start; default 1500
  --json FILE          all figures; default dist/bench.json
  --profile FOLDER     also writes CPU profiles of the measured processes there
  --help               this text

The exit code tells whether everything ran, not whether an aim was met: 0, 1 when a side failed, 2 for a wrong option.`

/** Throws with what is wrong. Undefined when help was asked for. */
export function readOptions(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      only: { type: 'string' },
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '4' },
      connections: { type: 'string', default: '100' },
      events: { type: 'string', default: '20000' },
      concurrency: { type: 'string', default: '50' },
      backlog: { type: 'string', default: '1000000' },
      listeners: { type: 'string', default: '5000' },
      rate: { type: 'string', default: '1500' },
      json: { type: 'string', default: fileURLToPath(new URL('../../bench.json', import.meta.url)) },
      profile: { type: 'string' },
      help: { type: 'boolean' },
    },
  })
  if (values.help) return undefined
  const { json, profile } = values
  const wanted = values.only?.split(',')
  const isKnown = (name: string) => comparisonNames.some((known) => known === name)
  if (wanted && !wanted.every(isKnown)) throw new Error(`--only is a list of ${comparisonNames.join(', ')}`)
  const count = (name: 'rounds' | 'connections' | 'events' | 'concurrency' | 'backlog' | 'listeners' | 'rate') => {
    const value = Number(values[name])
    if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} is a whole number from 1`)
    return value
  }
  const seconds = Number(values.seconds)
  if (!(seconds > 0)) throw new Error('--seconds is a number above 0')
  return {
    only: comparisonNames.filter((name) => wanted?.includes(name) ?? true),
    json,
    profile,
    seconds,
    rounds: count('rounds'),
    connections: count('connections'),
    events: count('events'),
    concurrency: count('concurrency'),
    backlog: count('backlog'),
    listeners: count('listeners'),
    rate: count('rate'),
  }
}

export type Options = NonNullable<ReturnType<typeof readOptions>>
