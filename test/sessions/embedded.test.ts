import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { Embedded } from '../../src/sessions/embedded.ts'
import { embeddedPids } from '../harness/databases.ts'
import { built } from '../harness/process.ts'
import { until } from '../harness/until.ts'

/* The embedded database: one process for a DATA_DIR, whoever uses it, for as long as somebody does. */

let dataDir: string
let opened: Embedded[]
beforeEach(() => {
  dataDir = mkdtempSync(join(tmpdir(), 'millrace-embedded-'))
  opened = []
})
afterEach(async () => {
  await Promise.all(opened.map((one) => one.stop()))
  rmSync(dataDir, { recursive: true, force: true })
})

const open = () => {
  const one = new Embedded({ dataDir, entry: built('sessions/embedded-process.js') })
  opened.push(one)
  return one
}
const insert = `INSERT INTO millrace_sessions (instance, tenant, id, state, active_at) VALUES ('i', 't', $1, '{}', now())`
const count = async (one: Embedded) =>
  Number((await one.query('SELECT count(*)::int AS n FROM millrace_sessions'))[0]?.n)
const logged = () => readFileSync(join(dataDir, 'database', 'database.log'), 'utf8')

it('is one process for all, survives kill -9, and goes with the last', { timeout: 90_000 }, async () => {
  const all = Array.from({ length: 5 }, open)
  await Promise.all(all.map((one, i) => one.query(insert, [`s${i}`])))
  const [first] = all as [Embedded, ...Embedded[]]
  expect(await count(first)).toBe(5)
  const [pid, ...more] = embeddedPids(dataDir)
  expect([pid === undefined, more]).toEqual([false, []])

  process.kill(pid as number, 'SIGKILL')
  await until(() => embeddedPids(dataDir).length === 0, 'it has gone')
  // All start another at the same time; one of them does.
  expect(await Promise.all(all.map(count))).toEqual(all.map(() => 5))
  expect(embeddedPids(dataDir)).toHaveLength(1)

  for (const one of all.slice(1)) await one.stop()
  expect(await count(first)).toBe(5)
  await first.stop()
  // Its own end comes after it has closed the database and let go of everybody.
  expect(logged()).toMatch(/stopped\n$/)
  await until(() => embeddedPids(dataDir).length === 0, 'it has ended')
  expect(await count(open())).toBe(5)
})

it('goes when the process that uses it is killed', { timeout: 90_000 }, async () => {
  const [file, entry] = [built('sessions/embedded.js'), built('sessions/embedded-process.js')]
  const program = `
    import { Embedded } from ${JSON.stringify(file)}
    await new Embedded(${JSON.stringify({ dataDir, entry })}).query('SELECT 1')
    console.log('open')
    setInterval(() => {}, 1_000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  expect(embeddedPids(dataDir)).toHaveLength(1)
  child.kill('SIGKILL')
  await until(() => embeddedPids(dataDir).length === 0, 'it has ended')
  expect(logged()).toMatch(/stopped\n$/)
})

it('says what is wrong with its folder, and goes on when that is mended', { timeout: 90_000 }, async () => {
  const one = open()
  await one.query('SELECT 1')
  await one.stop()
  await until(() => embeddedPids(dataDir).length === 0, 'it has ended')
  const control = join(dataDir, 'database', 'pglite', 'global', 'pg_control')
  const bytes = readFileSync(control)
  writeFileSync(control, bytes.subarray(0, 20))
  const broken = open()
  await expect(broken.query('SELECT 1')).rejects.toMatchObject({ code: 'database-unavailable' })
  expect(logged()).toContain('does not open')
  writeFileSync(control, bytes)
  await until(() => embeddedPids(dataDir).length === 0, 'it has ended')
  expect(await count(broken)).toBe(0)
})

it('keeps off a folder that another machine uses', { timeout: 90_000 }, async () => {
  const one = open()
  await one.query('SELECT 1')
  await one.stop()
  await until(() => embeddedPids(dataDir).length === 0, 'it has ended')
  const owner = join(dataDir, 'database', 'owner')
  writeFileSync(owner, 'elsewhere 42\n')
  const refused = open()
  await expect(refused.query('SELECT 1')).rejects.toThrow(/the folder is in use by process 42 on elsewhere/)
  rmSync(owner)
  expect(await refused.query('SELECT 1 AS one')).toEqual([{ one: 1 }])
})
