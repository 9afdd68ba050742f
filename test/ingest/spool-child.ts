import { setTimeout } from 'node:timers/promises'
import { pino } from 'pino'
import { MillraceError } from '../../src/errors.ts'
import { Spool } from '../../src/ingest/spool.ts'
import { idOf } from '../harness/spool.ts'

/*
 * Appends without end while the store is away; prints `ok <id>` for each record that was acknowledged and
 * `no <id> <ms>` for each that was refused. For tests that kill it. With the size 0 it appends nothing, but takes what it
 * adopts, and prints `took <id>`.
 */

const [dir = '', prefix = '', size = '500'] = process.argv.slice(2)
const takes = size === '0'
const spool = new Spool({
  dir,
  limit: 1024 ** 3,
  log: pino({ level: 'silent' }),
  adoptMs: takes ? 20 : 60_000,
  drain: async (record) => {
    if (!takes) throw new MillraceError('store-unavailable')
    process.stdout.write(`took ${idOf(record)}\n`)
  },
})
await spool.start()
process.stdout.write('started\n')

let last = 0
async function appendWithoutEnd(): Promise<void> {
  for (;;) {
    last += 1
    const id = `${prefix}${last}`
    const began = performance.now()
    try {
      await spool.append(Buffer.from(`${id} ${'x'.repeat(Math.random() * Number(size))}`))
      process.stdout.write(`ok ${id}\n`)
    } catch {
      process.stdout.write(`no ${id} ${Math.round(performance.now() - began)}\n`)
      await setTimeout(5)
    }
  }
}

// The spool itself keeps no process alive.
if (takes) setInterval(() => {}, 60_000)
else await Promise.all(Array.from({ length: 20 }, appendWithoutEnd))
