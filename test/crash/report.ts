import type { Account } from './fault.ts'
import { type FaultName, faultNames } from './faults.ts'

export type Round = {
  readonly fault: FaultName
  readonly round: number
  readonly account?: Account
  /** Why there is none. */
  readonly failed?: string
  readonly skipped?: string
}

/** Everything acknowledged was done, and nothing twice that need not have been. */
export function isGood({ account, failed }: Round): boolean {
  if (failed !== undefined) return false
  return !account || (account.lost.length === 0 && account.doubled.length === 0 && account.ranTwice === 0)
}

export function lineOf({ account, failed, skipped }: Round): string {
  if (!account) return failed === undefined ? `skipped: ${skipped}` : `FAILED: ${failed}`
  const twice = account.doubled.length + account.ranTwice
  return [
    `${account.acknowledged} acknowledged (${account.viaQueue} queue, ${account.viaSpool} spool)`,
    `${account.found} found, ${account.lost.length} lost, ${twice} run twice, ${account.ranAgain} run again`,
    `${account.refused} refused${account.refused > 0 ? ` (in at most ${account.slowestRefusalMs} ms)` : ''}`,
    `${account.unanswered} unanswered`,
    `back after ${account.recoveredMs} ms, spool empty after ${account.spoolEmptyMs} ms, all done after ${account.doneMs} ms`,
  ].join('; ')
}

const heads = [
  'fault',
  'rounds',
  'acknowledged',
  'via queue',
  'via spool',
  'found',
  'lost',
  'run twice',
  'run again (in hand of a killed worker)',
  'refused',
  'slowest refusal, ms',
  'unanswered',
  'back after, ms, median (most)',
  'spool empty after, ms, median (most)',
  'all done after, ms, median (most)',
]

/** A row for each fault: sums, and times as median and maximum. */
export function table(rounds: readonly Round[]): string {
  const rows = faultNames.flatMap((fault) => {
    const accounts = rounds.flatMap((round) => (round.fault === fault && round.account ? [round.account] : []))
    if (accounts.length === 0) return []
    const sum = (of: (account: Account) => number) => accounts.reduce((all, account) => all + of(account), 0)
    const most = (of: (account: Account) => number) => Math.max(...accounts.map(of))
    const times = (of: (account: Account) => number) => `${Math.round(median(accounts.map(of)))} (${most(of)})`
    return [
      [
        fault,
        accounts.length,
        sum((one) => one.acknowledged),
        sum((one) => one.viaQueue),
        sum((one) => one.viaSpool),
        sum((one) => one.found),
        sum((one) => one.lost.length),
        sum((one) => one.doubled.length + one.ranTwice),
        sum((one) => one.ranAgain),
        sum((one) => one.refused),
        most((one) => one.slowestRefusalMs),
        sum((one) => one.unanswered),
        times((one) => one.recoveredMs),
        times((one) => one.spoolEmptyMs),
        times((one) => one.doneMs),
      ],
    ]
  })
  const line = (cells: readonly unknown[]) => `| ${cells.join(' | ')} |`
  const rule = `|---|${'---:|'.repeat(heads.length - 1)}`
  return [line(heads), rule, ...rows.map(line)].join('\n')
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  return ((sorted[Math.ceil(middle) - 1] ?? 0) + (sorted[Math.floor(middle)] ?? 0)) / 2
}
