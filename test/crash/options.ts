import { parseArgs } from 'node:util'
import { type Duration, durationMs } from '../../src/define/duration.ts'
import { type FaultName, faultNames, faults } from './faults.ts'

export const usage = `Usage: npm run chaos -- [options]

Real faults under load: what was acknowledged, and what became of it.

  --only FAULT[,FAULT]  of the faults below; default: all
  --rounds N            of each; default 3
  --json FILE           all figures
  --soak DURATION       instead: constant load for so long, e.g. 10m, and whether memory grows
  --rate N              events a second of the soak; default 500
  --kills N             instead: kill -9 of N worker processes, one after the other, of two that work on 200 jobs a second
  --help                this text

Faults:
${faultNames.map((name) => `  ${name.padEnd(22)}${faults[name].about}`).join('\n')}

Exit code: 0, 1 when an event was lost or done twice, a round failed, or memory grew, 2 for a wrong option.`

export type Options = {
  readonly rounds: number
  readonly only: readonly FaultName[]
  readonly json: string | undefined
  readonly soakMs: number | undefined
  readonly rate: number
  readonly kills: number | undefined
}

/** Throws with what is wrong. Undefined when help was asked for. */
export function readOptions(args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: '3' },
      only: { type: 'string', default: faultNames.join() },
      json: { type: 'string' },
      soak: { type: 'string' },
      rate: { type: 'string', default: '500' },
      kills: { type: 'string' },
      help: { type: 'boolean' },
    },
  })
  if (values.help) return undefined
  return {
    rounds: whole('rounds', values.rounds),
    only: values.only.split(',').map(faultOf),
    json: values.json,
    soakMs: values.soak === undefined ? undefined : durationMs(values.soak as Duration, '--soak'),
    rate: whole('rate', values.rate),
    kills: values.kills === undefined ? undefined : whole('kills', values.kills),
  }
}

function faultOf(text: string): FaultName {
  const found = faultNames.find((name) => name === text.trim())
  if (!found) throw new Error(`--only ${text}: there are ${faultNames.join(', ')}`)
  return found
}

function whole(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} must be a whole number above 0`)
  return value
}
