import { parseArgs } from 'node:util'
import { type Account, runFault, type Target } from './fault.ts'

/* npm run chaos: real kills under load, and what was acknowledged, found, lost, run twice. */

const all: Target[] = ['server', 'worker', 'redis', 'keeper', 'everything']
const usage = `Usage: npm run chaos -- [--rounds 3] [--only ${all.join('|')}] [--json]`

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    only: { type: 'string' },
    json: { type: 'boolean' },
    help: { type: 'boolean' },
  },
})
const rounds = Number(values.rounds)
const targets = all.filter((target) => values.only === undefined || values.only === target)
if (values.help || targets.length === 0 || !(rounds >= 1)) {
  console.log(usage)
  process.exit(values.help ? 0 : 2)
}

const accounts: Account[] = []
for (let round = 1; round <= rounds; round += 1)
  for (const target of targets)
    accounts.push(await runFault(target, { say: (line) => console.error(`round ${round}, ${line}`) }))

if (values.json) console.log(JSON.stringify(accounts, null, 2))
else {
  console.log('| kill -9 of | acknowledged | found | lost | run twice | of these in hand | back after |')
  console.log('|---|---:|---:|---:|---:|---:|---:|')
  for (const one of accounts)
    console.log(
      `| ${one.target} | ${one.acknowledged} | ${one.found} | ${one.lost.length} | ${one.ranTwice} | ${one.ranTwiceInHand} | ${one.recoveredMs} ms |`,
    )
}
process.exit(accounts.some((one) => one.lost.length > 0) ? 1 : 0)
