import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { messageOf } from '../../src/errors.ts'
import { compareAssistant } from './assistant.ts'
import { compareBare } from './bare.ts'
import { compareCache } from './cache.ts'
import { compareCodec } from './codec.ts'
import { compareEdge } from './edge.ts'
import { compareBacklog, compareGate } from './gate.ts'
import { compareHeld } from './held.ts'
import { compareLimits } from './limits.ts'
import { compareLive } from './live.ts'
import { machine, machineLine } from './machine.ts'
import { type Options, readOptions, usage } from './options.ts'
import { type Comparison, failuresOf, number, pairsOf, summarize, table } from './report.ts'
import type { Outcome } from './rounds.ts'
import { compareSessions } from './sessions.ts'
import { compareSpool } from './spool.ts'
import { Stage } from './stage.ts'
import { compareStart } from './start.ts'
import { compareWorker } from './worker.ts'

const compare = {
  assistant: compareAssistant,
  edge: compareEdge,
  bare: compareBare,
  spool: compareSpool,
  worker: compareWorker,
  gate: compareGate,
  backlog: compareBacklog,
  held: compareHeld,
  start: compareStart,
  codec: compareCodec,
  live: compareLive,
  limits: compareLimits,
  cache: compareCache,
  sessions: compareSessions,
}
const options = readOrExit()
let stage: Stage | undefined
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.on(signal, async () => {
    await stage?.end()
    process.exit(code)
  })
process.exit(await main(options))

async function main({ only, json, profile, ...settings }: Options): Promise<number> {
  const comparisons: Comparison[] = []
  const broken: string[] = []
  for (const name of only) {
    stage = new Stage(profile && join(profile, name))
    try {
      comparisons.push(await compare[name](stage, settings, progress(name, settings.rounds)))
    } catch (error) {
      broken.push(`${name}: ${messageOf(error)}`)
    } finally {
      await stage.end()
    }
  }
  const about = machine(await redisVersion())
  console.log([machineLine(about), ...comparisons.map(table), ...broken].join('\n\n'))
  const results = comparisons.map((comparison) => ({ ...comparison, summary: summarize(comparison) }))
  mkdirSync(dirname(json), { recursive: true })
  writeFileSync(json, `${JSON.stringify({ machine: about, comparisons: results, broken }, undefined, 2)}\n`)
  console.error(`\nAll figures: ${json}`)
  const isWhole = comparisons.every((one) => failuresOf(one).length === 0 && pairsOf(one).length > 0)
  return broken.length === 0 && isWhole ? 0 : 1
}

function progress(name: string, rounds: number) {
  return (side: string, round: number, outcome: Outcome) => {
    const what =
      'failed' in outcome
        ? `failed: ${outcome.failed}`
        : Object.entries(outcome)
            .map(([key, value]) => (value === undefined ? '' : `${key} ${number(value, 1)}`))
            .join('  ')
    console.error(`${name} ${round === 0 ? 'warm-up' : `${round}/${rounds}`}  ${side}: ${what}`)
  }
}

async function redisVersion(): Promise<string> {
  stage = new Stage()
  try {
    const { client } = await stage.redis()
    return /redis_version:(\S+)/.exec(await client.info('server'))?.[1] ?? 'unknown'
  } finally {
    await stage.end()
  }
}

function readOrExit(): Options {
  try {
    const read = readOptions(process.argv.slice(2))
    if (read) return read
    console.log(usage)
    process.exit(0)
  } catch (error) {
    console.error(`${messageOf(error)}\n\n${usage}`)
    process.exit(2)
  }
}
