import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { messageOf } from '../../src/errors.ts'
import { runFault } from './fault.ts'
import { type Fault, type FaultName, faults } from './faults.ts'
import { isGoodKills, killsLine, runKills } from './kills.ts'
import { type Options, readOptions, usage } from './options.ts'
import { isGood, lineOf, type Round, table } from './report.ts'
import { runSoak } from './soak.ts'

/* npm run chaos: real faults under load, and what was acknowledged, found, lost, run twice. */

const options = readOrExit()
/** All that runs, whatever it is. */
type Started = { end(): Promise<void> }
let rig: Promise<Started> | undefined
let isInterrupted = false
const onStart = (starting: Promise<Started>) => {
  rig = starting
}
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)
  process.once(signal, async () => {
    isInterrupted = true
    await (await rig?.catch(() => undefined))?.end()
    process.exit(code)
  })

if (options.soakMs !== undefined) {
  const soak = await runSoak({ ms: options.soakMs, rate: options.rate, say: console.log, onStart })
  write(options.json, soak)
  process.exit(soak.isGood ? 0 : 1)
}

if (options.kills !== undefined) {
  const account = await runKills({ kills: options.kills, say: console.log, onStart })
  console.log(killsLine(account))
  write(options.json, account)
  process.exit(isGoodKills(account) ? 0 : 1)
}

const rounds: Round[] = []
for (let round = 1; round <= options.rounds; round += 1)
  for (const fault of options.only) rounds.push(await run(fault, round))
console.log(`\n${table(rounds)}`)
write(options.json, rounds)
process.exit(rounds.every(isGood) ? 0 : 1)

async function run(fault: FaultName, round: number): Promise<Round> {
  const { impossible }: Fault = faults[fault]
  const skipped = impossible?.()
  const done: Round =
    skipped === undefined
      ? await runFault(fault, { onStart }).then(
          (account) => ({ fault, round, account }),
          (error: unknown) => ({ fault, round, failed: messageOf(error) }),
        )
      : { fault, round, skipped }
  // The round has failed because everything was ended; no other may begin before we are gone.
  if (isInterrupted) return new Promise(() => {})
  console.log(`round ${round}, ${fault}: ${lineOf(done)}`)
  return done
}

function write(file: string | undefined, figures: unknown): void {
  if (file === undefined) return
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify(figures, undefined, 2)}\n`)
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
